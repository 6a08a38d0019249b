"""Stage tune: frames, source prompt -> tuned weights, loss curve, samples (paper, section 4.2)."""

import csv
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.artifacts import artifact, atomic, read_frames, read_json, write_json
from tav.params import Params, Tune, told
from tav.stages import OnProgress, Progress

if TYPE_CHECKING:
    import torch

    from tav.model.latents import Moments
    from tav.model.prompts import Prompts
    from tav.model.tuning import Step, TuneSettings

CHECKPOINTS = Path("checkpoints")
"""Outside the stage's outputs, which DVC deletes before a run."""
COLUMNS = ("step", "loss", "lr", "grad_norm", "seconds")


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Tune the base model on one video. A run that was killed goes on at its last checkpoint."""
    settings = params.tune_of(key)
    frames = read_frames(artifact("extract", key, "frames"))
    caption = read_json(artifact("caption", key, "caption.json"))["caption"]

    from tav.budget.plan import Work, announce, tuning_settings
    from tav.from_params import open_base, told_cut
    from tav.model.latents import encode_moments
    from tav.model.prompts import encode_prompts
    from tav.model.tuning import tune

    pipe = open_base(params, seed=settings.seed)
    savings = announce(params, Work("tune", key, len(frames), (frames.shape[2], frames.shape[1])), pipe)
    moments = encode_moments(pipe.vae, frames)
    inversion = caption if params.invert.prompt is None else params.invert.prompt
    told_cut(f"tune@{key}", pipe, caption)
    (source,) = encode_prompts(pipe, [caption], frames.shape[1:3])  # alone: a GPU's last bits depend on the batch
    texts = [inversion, params.edit.negative_prompt, *_prompts(params, key)]
    others = encode_prompts(pipe, texts, frames.shape[1:3])
    _sample(params, key, pipe, moments, others, 0)
    steps = []
    with told():
        of_model = tuning_settings(params, key, savings, pipe.device.type)
        for step in tune(pipe.unet, pipe.scheduler, moments, source, of_model, checkpoint_dir=CHECKPOINTS / key):
            steps.append(step)
            if not step.replayed:
                _sample(params, key, pipe, moments, others, step.step)
            values = {"loss": step.loss, "grad_norm": step.grad_norm, "lr": step.lr}
            on_progress(Progress(step.step, settings.steps, values))
    _write(params, key, pipe.unet, caption, of_model, steps)


def _sample(params: Params, key: str, pipe: Any, moments: "Moments", prompts: "list[Prompts]", step: int) -> None:
    """What the edits of this video look like so far, as a contact sheet: a row for each prompt.

    prompts: of the inversion, the negative one, and of each edit.
    """
    inversion, negative, *targets = prompts
    if not targets or not _is_due(params.tune_of(key), step):
        return
    from tav.model.ddim import ddim_invert, ddim_sample, first_step
    from tav.model.latents import decode
    from tav.video import write_contact_sheet

    steps, settings = params.invert.num_inference_steps, params.edit
    start = first_step(settings.strength, steps)
    inverted = ddim_invert(pipe.unet, pipe.scheduler, moments.mean, inversion, steps)[steps - start]
    rows = [
        ddim_sample(
            pipe.unet,
            pipe.scheduler,
            inverted,
            target,
            negative,
            num_inference_steps=steps,
            guidance_scale=settings.guidance_scale,
            start=start,
        )
        for target in targets
    ]
    sheet = CHECKPOINTS / key / f"samples/{step:06d}.png"
    write_contact_sheet(sheet, [decode(pipe.vae, latents) for latents in rows], _prompts(params, key))


def _prompts(params: Params, key: str) -> list[str]:
    return [edit.prompt for edit in params.edits.values() if edit.video == key]


def _write(params: Params, key: str, unet: Any, caption: str, of_model: "TuneSettings", steps: "list[Step]") -> None:
    from tav.model.pretrained import identity
    from tav.model.tuned_weights import save_tuned_weights
    from tav.model.tuning import DTYPES

    settings, base = params.tune_of(key), params.base
    save_tuned_weights(
        unet,
        artifact("tune", key, "weights.safetensors"),
        base=identity(base.place, base.revision, loras=base.fused),
        dtype=DTYPES[settings.save_precision],
        metadata={"prompt": caption},
    )
    with atomic(artifact("tune", key, "loss.csv")) as fresh, fresh.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(step) for step in steps)
    with atomic(artifact("tune", key, "samples")) as folder:  # an output of the stage, also when there are none
        write_json(folder / "prompts.json", _prompts(params, key) if settings.sample_every else [])
        for sheet in (CHECKPOINTS / key / "samples").glob("*.png"):
            if _is_due(settings, int(sheet.stem)):  # not one that an earlier run left
                shutil.move(sheet, folder / sheet.name)
    last = [step.loss for step in steps[-max(1, len(steps) // 10) :]]
    facts = {
        "seconds": sum(step.seconds for step in steps),
        "peak_memory_gb": _peak_memory(unet.device) / 1e9,
        "loss_of_last_tenth": sum(last) / len(last),
    }
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
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
