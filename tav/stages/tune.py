"""Stage tune: frames, source prompt -> tuned weights, loss curve, samples (paper, section 4.2)."""

import csv
import hashlib
import json
import shutil
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tav.artifacts import artifact, atomic, read_frames, read_json, write_json
from tav.model.size import Size
from tav.params import Control, Params, Tune, user_errors
from tav.settings import settings_of
from tav.stages import OnProgress, Progress
from tav.stages.maps import make_maps, own_maps, tuned_under
from tav.stages.prior_pictures import prior_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import torch
    from torch import Tensor

    from tav.budget.plan import Savings
    from tav.model.latents import Moments
    from tav.model.pretrained import BaseIdentity
    from tav.model.tuning import Step, TuneSettings

CHECKPOINTS = Path("checkpoints")
"""Outside the stage's outputs, which DVC deletes before a run."""
NOT_SEEN = {"output_size", "method", "metadata"}
"""Of an edit's settings: what a sample doesn't show."""
SHOWN = 8
"""Prior pictures that are put beside the samples, to be looked at."""
COLUMNS = ("step", "loss", "lr", "grad_norm", "seconds")


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Tune the base model on one video. A run that was killed goes on at its last checkpoint."""
    settings = params.tune_of(key)
    frames = read_frames(artifact("extract", key, "frames"))
    caption = read_json(artifact("caption", key, "caption.json"))["caption"]

    from tav.budget.fallback import with_less_memory
    from tav.budget.plan import Work, announce
    from tav.from_params.base import open_base, tuning_settings, warn_of_cut
    from tav.from_params.controls import controls_of, open_controls
    from tav.model.latents import encode_moments
    from tav.model.prompts import encode_prompts
    from tav.model.tuning import tune

    opened = [open_base(params, seed=settings.seed)]
    pipe = opened[0]
    asked = [settings.control] if settings.control else []
    networks, maps = open_controls(asked, pipe), [_maps(params, key, control, frames) for control in asked]
    origin = _origin(params, key, caption, len(frames))  # known before the first step
    size = Size(*frames.shape[1:3])
    work = Work("tune", key, len(frames), size, networks=networks)
    savings = announce(params, work, pipe)
    controls = controls_of(asked, networks, maps, pipe)
    moments = encode_moments(pipe.vae, frames)
    inversion = caption if params.invert.prompt is None else params.invert.prompt
    warn_of_cut(f"tune@{key}", pipe, caption)
    (source,) = encode_prompts(pipe, [caption], size)  # alone: a GPU's last bits depend on the batch
    pictures, shown = prior_pictures(params, key, pipe, size) or (None, None)

    def attempt(how: "Savings") -> "tuple[Samples, TuneSettings, list[Step]]":
        pipe = opened.pop() if opened else open_base(params, seed=settings.seed)  # anew: its weights have moved
        samples, steps = Samples(params, key, pipe, moments, inversion, shown), []
        of_model = tuning_settings(params, key, pipe.device.type, how.gradient_checkpointing, how.adam8bit)
        video, kept = (pipe.unet, pipe.scheduler, moments, source), CHECKPOINTS / key
        beside = partial(tune, pictures=pictures, controls=controls)
        for step in beside(*video, of_model, checkpoint_dir=kept, on_weights=samples.draw):
            steps.append(step)
            values = {"loss": step.loss, "grad_norm": step.grad_norm, "lr": step.lr}
            on_progress(Progress(step.step, settings.steps, values))
        return samples, of_model, steps

    del pipe
    with user_errors():
        samples, of_model, steps = with_less_memory(params, work, savings, attempt)
    _write(params, key, samples, origin, of_model, steps)


def _maps(params: Params, key: str, control: Control, frames: "np.ndarray") -> "np.ndarray":
    """What a control follows in tuning: made here, so that no tuning waits for the maps that only edits follow."""
    if control.frames is None:
        return make_maps(str(control.kind), frames, params.condition)
    return own_maps(control.frames, read_json(artifact("extract", key, "source/info.json")))


class Origin(NamedTuple):
    """What the tuned weights come from. It goes into the header of their file."""

    base: "BaseIdentity"
    header: dict[str, str]


def _origin(params: Params, key: str, caption: str, num_frames: int) -> Origin:
    from tav.from_params.loaded_base import identity_of

    settings = settings_of(params, "tune", key) | {"num_frames": num_frames}
    header = {"prompt": caption, "settings": json.dumps(settings, ensure_ascii=False)}
    if under := tuned_under(params, key):
        header["control"] = under
    with user_errors():
        return Origin(identity_of(params.base), header)


class Samples:
    """What the edits of a video look like so far: contact sheets, a row for each edit, drawn as `edit` would draw it.

    They lie under the run's mark and what the edits ask for, so that a run finds its own and no other's.
    """

    def __init__(
        self,
        params: Params,
        key: str,
        pipe: Any,
        moments: "Moments",
        inversion: str,
        pictures: "np.ndarray | None" = None,
    ) -> None:
        """inversion: the inversion's prompt. pictures: that the tuning goes on drawing right, uint8 (n h w 3)."""
        self.pictures = pictures
        self.tune, self.invert, self.pipe, self.moments = params.tune_of(key), params.invert, pipe, moments
        edits = [(edit.prompt, params.edit_of(name)) for name, edit in params.edits.items() if edit.video == key]
        self.edits = [(prompt, settings) for prompt, settings in edits if settings.method == "tune-a-video"]
        self.prompts = [prompt for prompt, _ in self.edits]
        self.inversion = inversion
        self.place = CHECKPOINTS / key / "samples"
        self.folder = self.place

    def draw(self, mark: str, step: int) -> None:
        """The sheet of a step, if it is due and not there: what a kill prevented is made up for."""
        asked = [(prompt, settings.model_dump(exclude=NOT_SEEN)) for prompt, settings in self.edits]
        what = json.dumps([mark, self.inversion, self.invert.model_dump(exclude={"prompt"}), asked])
        self.folder = self.place / hashlib.sha256(what.encode()).hexdigest()[:16]
        sheet = self.folder / f"{step:06d}.png"
        if not self.edits or not _is_due(self.tune, step) or sheet.exists():
            return
        from tav.model.latents import decode
        from tav.video import write_contact_sheet

        write_contact_sheet(sheet, [decode(self.pipe.vae, latents) for latents in self._latents()], self.prompts)

    def _latents(self) -> "Iterator[Tensor]":
        """Of each edit."""
        from tav.from_params.sampling import invert_video, sample_edit
        from tav.model.prompts import encode_prompts

        pipe, video = self.pipe, self.moments.mean
        texts = [
            self.inversion,
            *(text for prompt, settings in self.edits for text in (settings.negative_prompt, prompt)),
        ]
        size = Size(*(side * pipe.vae_scale_factor for side in video.shape[-2:]))
        inversion, *others = encode_prompts(pipe, texts, size)
        inverted = invert_video(pipe, self.invert, video, inversion)
        for (_, settings), negative, target in zip(self.edits, others[::2], others[1::2], strict=True):
            yield sample_edit(pipe, settings, inverted, target, negative)

    def publish(self, folder: Path) -> None:
        """Copy this run's sheets: until its results count, it may have to go on from its checkpoint with them."""
        write_json(folder / "prompts.json", self.prompts if self.tune.sample_every else [])
        for sheet in self.folder.glob("*.png"):
            if _is_due(self.tune, int(sheet.stem)):  # sample_every may have changed since
                shutil.copyfile(sheet, folder / sheet.name)
        if self.pictures is not None and self.tune.prior_pictures:
            from tav.video import write_contact_sheet

            shown = self.pictures[:SHOWN]
            write_contact_sheet(folder / "prior-pictures.png", [shown], [self.tune.prior_pictures.prompt])


def _write(
    params: Params, key: str, samples: Samples, origin: Origin, of_model: "TuneSettings", steps: "list[Step]"
) -> None:
    from tav.model.tuned_weights import save_tuned_weights
    from tav.model.tuning import DTYPES

    settings, unet = params.tune_of(key), samples.pipe.unet
    save_tuned_weights(
        unet,
        artifact("tune", key, "weights.safetensors"),
        base=origin.base,
        dtype=DTYPES[settings.save_precision],
        metadata=origin.header,
    )
    with atomic(artifact("tune", key, "loss.csv")) as fresh, fresh.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(step) for step in steps)
    with atomic(artifact("tune", key, "samples")) as folder:  # an output of the stage, also when there are none
        samples.publish(folder)
    last = [step.loss for step in steps[-max(1, len(steps) // 10) :]]  # none of a tuning without steps
    facts = {
        "seconds": sum(step.seconds for step in steps),
        "peak_memory_gb": _peak_memory(unet.device) / 1e9,
    }
    if last:
        facts["loss_of_last_tenth"] = sum(last) / len(last)
    # what `compute` came to on this machine
    how = {name: getattr(of_model, name) for name in ("precision", "gradient_checkpointing", "adam8bit")}
    write_json(artifact("tune", key, "tuning.json"), {name: round(value, 4) for name, value in facts.items()} | how)


def forget_checkpoints(key: str) -> None:
    """Delete a tuning's checkpoints: its results are there."""
    shutil.rmtree(CHECKPOINTS / key, ignore_errors=True)


def _is_due(settings: Tune, step: int) -> bool:
    return settings.sample_every is not None and (step % settings.sample_every == 0 or step == settings.steps)


def _peak_memory(device: "torch.device") -> int:
    """Bytes: of the GPU where it ran on one, else of this process."""
    import resource

    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):  # Linux: that of this stage, where a process runs many
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
