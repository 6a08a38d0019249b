"""What tuning and editing will take, and how they save memory where they must (`compute.memory` of params.yaml)."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.from_params.loaded_base import made_from
from tav.model.holding import HELD
from tav.model.size import Size
from tav.params import Params, UserError, Window, user_errors

if TYPE_CHECKING:
    from tav.budget.expectation import Expectation
    from tav.budget.meter import Speed
    from tav.model.reference_files import AdapterShapes

GB = 1e9
DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Of NVIDIA, of AMD, of Windows below."""
CAPS = {"12gb": 12 * GB, "16gb": 16 * GB, "24gb": 24 * GB}


@dataclass(frozen=True)
class Savings:
    """What is given up for memory: time."""

    gradient_checkpointing: bool = False
    adam8bit: bool = False
    split_guidance: bool = False

    def __str__(self) -> str:
        names = {
            "gradient_checkpointing": "gradient checkpointing",
            "adam8bit": "8-bit Adam",
            "split_guidance": "split guidance",
        }
        return ", ".join(text for name, text in names.items() if getattr(self, name)) or "nothing saved"


@dataclass(frozen=True)
class Work:
    """One step of a stage, and the video that it is taken on."""

    stage: str
    key: str
    num_frames: int
    size: Size
    """In pixels."""
    guided: bool = False
    words: bool = False
    """Prompt-to-Prompt and Plug-and-Play: the source is in the batch."""
    networks: tuple[Any, ...] = ()
    """ControlNets and T2I-Adapters beside the UNet; meta tensors will do."""
    adapter: "AdapterShapes | None" = None
    """The IP-Adapter of a reference picture."""


@dataclass(frozen=True)
class Machine:
    device: str
    memory: float
    """Bytes: of the GPU, or of the computer where there is none."""


class TooMuch(UserError):
    """What a stage is expected to need is not there."""

    def __init__(self, needs: str, advice: str) -> None:
        super().__init__(f"{needs}. {advice}")
        self.advice = advice


def machine() -> Machine:
    device = _device()
    if device.startswith("cuda"):
        import torch

        return Machine(device, torch.cuda.get_device_properties(device).total_memory)
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container; "max" where there is none
    limits = [float(text) for text in [limit.read_text().strip()] if text != "max"] if limit.exists() else []
    return Machine(device, min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *limits]))


def _device() -> str:
    """As `best_device`, without PyTorch on a Linux that has no GPU's driver."""
    drivers = any(Path(driver).exists() for driver in DRIVERS)
    if sys.platform == "linux" and not drivers and os.environ.get("TAV_DEVICE", "cpu") in ("", "cpu"):
        return "cpu"
    from tav.model.device import best_device

    with user_errors():
        return str(best_device())


def choose(
    params: Params, work: Work, pipe: Any, on: Machine, speed: "Speed | None" = None
) -> tuple[Savings, "Expectation"]:
    """The fastest way that fits, and what it is expected to take. Raises TooMuch with a setting that would fit.

    `compute.memory: max` saves nothing and refuses nothing: the expectation may be wrong.
    """
    limit = min(CAPS.get(params.compute.memory, on.memory), on.memory)
    with user_errors():
        for savings in ways(params, work, on):
            expected = expect(params, work, savings, pipe, on, speed)
            if expected.memory(on.device) <= limit or params.compute.memory == "max":
                return savings, expected
        advice = _that_fits(params, work, pipe, on, limit)
    raise TooMuch(
        f"{work.stage}@{work.key} is expected to need {expected.memory(on.device) / GB:.1f} GB ({savings}); there are "
        f"{limit / GB:.1f} GB ({on.device}, compute.memory: {params.compute.memory})",
        advice,
    )


def ways(params: Params, work: Work, on: Machine) -> Iterator[Savings]:
    """From the fastest to the one that takes the least memory."""
    frugal = params.compute.memory != "max"
    if work.stage != "tune":
        yield from (Savings(split_guidance=split) for split in ([False, True] if frugal and work.guided else [False]))
        return
    asked = params.tune_of(work.key).gradient_checkpointing
    choices = [asked] if asked is not None else [False, True] if frugal else [False]
    yield from (Savings(gradient_checkpointing=checkpointing) for checkpointing in choices)
    if frugal and on.device.startswith("cuda") and find_spec("bitsandbytes"):
        yield Savings(gradient_checkpointing=choices[-1], adam8bit=True)


def expect(
    params: Params, work: Work, savings: Savings, pipe: Any, on: Machine, speed: "Speed | None" = None
) -> "Expectation":
    from tav.budget.expectation import expect_sampling, expect_tuning
    from tav.from_params.base import dtype_of, tuning_settings

    num_frames = frames_at_once(params, work)
    if work.stage == "tune":
        settings = tuning_settings(params, work.key, on.device, savings.gradient_checkpointing, savings.adam8bit)
        return expect_tuning(pipe, num_frames, work.size, settings, networks=work.networks, speed=speed)
    return expect_sampling(
        pipe,
        num_frames,
        work.size,
        dtype_of(params.compute, on.device),
        guided=work.guided,
        split_guidance=savings.split_guidance,
        words=work.words,
        networks=work.networks,
        adapter=work.adapter,
        speed=speed,
    )


def edit_work(
    params: Params,
    key: str,
    num_frames: int,
    size: Size,
    networks: tuple[Any, ...] = (),
    adapter: "AdapterShapes | None" = None,
) -> Work:
    """Of an edit, as its settings have it. networks: of its controls. adapter: of its reference picture."""
    settings = params.edit_of(key)
    beside = settings.attention is not None or settings.method == "plug-and-play"
    return Work("edit", key, num_frames, size, settings.guidance_scale != 1, beside, networks, adapter)


def frames_at_once(params: Params, work: Work) -> int:
    """How many frames the network sees in a call: with frame 0 in front, where there are several windows."""
    if work.stage == "tune":
        return min(work.num_frames, params.tune_of(work.key).window_frames or work.num_frames)
    window = window_of(params, work)
    return work.num_frames if window is None or work.num_frames <= window.frames else window.frames + 1


def window_of(params: Params, work: Work) -> Window | None:
    """Of an inversion or an edit."""
    return params.invert.window if work.stage == "invert" else params.edit_of(work.key).window


def announce(params: Params, work: Work, pipe: Any) -> Savings:
    """Say what a stage is expected to need, before it starts. Raises TooMuch when that is not there.

    A GPU's needs are a guess, so there it is told, and tried in the way that takes the least.
    """
    on = machine()
    try:
        savings, expected = choose(params, work, pipe, on) if work.networks else _chosen_before(params, work, pipe, on)
    except TooMuch as error:
        if not on.device.startswith("cuda"):
            raise
        *_, savings = ways(params, work, on)
        print(f"{error}. That is a guess, so it is tried all the same", flush=True)
        return savings
    needs, there = expected.memory(on.device) / GB, on.memory / GB
    print(f"{work.stage}@{work.key}: expects {needs:.1f} of {there:.1f} GB ({savings})", flush=True)
    return savings


def _chosen_before(params: Params, work: Work, pipe: Any, on: Machine) -> "tuple[Savings, Expectation]":
    """As `choose`, asked once by a process that runs many stages. Not for networks beside the base's."""
    asked = params.tune_of(work.key).model_dump_json() if work.stage == "tune" else repr(window_of(params, work))
    what = made_from(params.base), replace(work, key=""), asked, params.compute, on
    chosen: tuple[Savings, Expectation] = HELD.get(
        f"expectation of {work.stage}", what, lambda: choose(params, work, pipe, on)
    )
    return chosen


def _that_fits(params: Params, work: Work, pipe: Any, on: Machine, limit: float) -> str:
    """The first setting that would do, each tried in the way that takes the least memory."""
    cap = limit if params.compute.memory in CAPS else on.memory
    for setting, asked, smaller, room in _candidates(params, work, on.memory, cap):
        *_, savings = ways(asked, smaller, on)
        if expect(asked, smaller, savings, pipe, on).memory(on.device) <= room:
            return f"This would fit: {setting}"
    return "No one setting is enough: take less of both extract.num_frames and extract.size, or a larger machine"


def _candidates(params: Params, work: Work, all_there: float, cap: float) -> Iterator[tuple[str, Params, Work, float]]:
    """What to set, the parameters then, the work then, and the memory that there is then."""
    compute, video = params.compute, params.videos.get(work.key)
    asked = params.model_copy(update={"compute": compute.model_copy(update={"memory": "auto"})})
    if compute.memory != "auto":
        yield "compute.memory: auto", asked, work, all_there
    if work.stage == "tune" and video and params.tune_of(work.key).gradient_checkpointing is False:
        checkpointed = video.model_copy(update={"tune": {**video.tune, "gradient_checkpointing": True}})
        saving = asked.model_copy(update={"videos": {**params.videos, work.key: checkpointed}})
        yield "tune.gradient_checkpointing: null", saving, work, cap
    if compute.precision == "fp32":
        half = asked.compute.model_copy(update={"precision": "auto"})
        yield "compute.precision: auto", asked.model_copy(update={"compute": half}), work, cap
    for share in (0.75, 0.5, 0.25):
        frames = int(work.num_frames * share)
        if frames > 1:
            yield f"extract.num_frames: {frames}", asked, replace(work, num_frames=frames), cap
    for share in (0.75, 0.5, 0.25):
        size = Size(*(max(64, int(side * share) // 64 * 64) for side in work.size))
        yield f"extract.size: {min(size)}", asked, replace(work, size=size), cap
