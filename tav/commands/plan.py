"""`tav plan`: what each stage that runs the network will take, as a table on the screen."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.budget.plan import GB, Savings, TooMuch, Work, choose, edit_work, machine, window_of
from tav.model.size import Size
from tav.params import BY_VIDEO_MODEL, Extract, Params, told

if TYPE_CHECKING:
    from tav.budget.expectation import Expectation
    from tav.video import VideoInfo


def print_plan(params: Params) -> None:
    """Print what each stage that runs the network is expected to take. Loads no weights, runs nothing."""
    from rich.console import Console
    from rich.table import Table

    from tav.budget.meter import measure_speed
    from tav.from_params import dtype_of, precision_of
    from tav.model.pretrained import load_shapes

    on, base = machine(), params.base
    with told():
        pipe = load_shapes(base.place, revision=base.revision, config=base.config)
    speed = measure_speed(on.device, dtype_of(params.compute, on.device))
    known: dict[Work, tuple[Savings, Expectation] | TooMuch] = {}
    table = Table(title=f"On {on.device} with {on.memory / GB:.1f} GB, {precision_of(params.compute, on.device)}")
    for name in ("stage", "frames", "size", "memory", "saved by", "time"):
        table.add_column(name, justify="right" if name in {"frames", "memory", "time"} else "left")
    total, left_out = 0.0, ""
    for work in works(params, pipe):
        cells = [f"{work.stage}@{work.key}", str(work.num_frames), f"{work.size.width}x{work.size.height}"]
        alike = replace(work, key=_own(params, work))
        if alike not in known:
            try:
                known[alike] = choose(params, work, pipe, on, speed)
            except TooMuch as error:
                known[alike] = error
        found = known[alike]
        if isinstance(found, TooMuch):
            table.add_row(*cells, "too much", found.advice, "")
            left_out = ", without what is too much"
            continue
        savings, expected = found
        taken = seconds(params, work, expected)
        total += taken
        table.add_row(*cells, f"{expected.memory(on.device) / GB:.1f} GB", str(savings), _clock(taken))
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
    console.print(f"In all about {_clock(total)} of computing, one after the other{left_out}.")


def _own(params: Params, work: Work) -> str:
    """Settings of its own that change what a stage is expected to take."""
    if work.stage != "tune":
        return str(window_of(params, work))
    own = {"gradient_checkpointing", "official_checkpointing", "window_frames"}
    return str(params.tune_of(work.key).model_dump(include=own))


def works(params: Params, shapes: Any) -> Iterator[Work]:
    """Of each video and edit of params.yaml, at the size that extract would give it. shapes: from `load_shapes`."""
    from tav.controls_from_params import control_shapes, reference_shapes
    from tav.video import fitted_size, probe

    networks: dict[Any, tuple[Any, ...]] = {}  # edits with the same controls are alike
    for key, video in params.videos.items():
        extract, info = params.extract_of(key), probe(Path(video.path))
        width, height = fitted_size(info.width, info.height, extract.size)
        size = Size(height, width)
        num_frames = extract.num_frames or _all_frames(extract, info)
        yield Work("tune", key, num_frames, size)
        yield Work("invert", key, num_frames, size)
        for name, edit in params.edits.items():
            settings = params.edit_of(name)
            if edit.video == key and settings.method not in BY_VIDEO_MODEL:  # whose networks it doesn't know
                beside = networks.setdefault(settings.controls, control_shapes(settings, shapes))
                yield edit_work(params, name, num_frames, size, beside, reference_shapes(settings, shapes))


def _all_frames(extract: Extract, info: "VideoInfo") -> int:
    """How many frames of a video there are from `start` on, at the rate asked for; about."""
    later = (info.num_frames or 1) - extract.start * info.fps
    step = info.fps / extract.fps if extract.fps else extract.stride or 1
    return max(1, math.ceil(later / step))


def seconds(params: Params, work: Work, expected: "Expectation") -> float:
    """Of computing: loading and start-up come on top."""
    steps, vae = params.invert.num_inference_steps, expected.frame_seconds * work.num_frames
    if work.stage == "tune":
        return params.tune_of(work.key).steps * expected.step_seconds + vae
    step = windows(params, work) * expected.step_seconds
    if work.stage == "invert":  # there, back, and back from half way
        return (2.5 + params.invert.refine) * steps * step + 3 * vae
    return params.edit_of(work.key).strength * steps * step + vae


def windows(params: Params, work: Work) -> int:
    """How many an inversion or an edit takes for a step."""
    from tav.model.windows import windows_of

    window = window_of(params, work)
    return 1 if window is None else len(windows_of(work.num_frames, window.frames, window.overlap))


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
