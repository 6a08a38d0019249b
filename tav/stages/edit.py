"""Stage edit: inverted latents, tuned weights, prompt -> edited video (paper, section 4.2)."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.artifacts import artifact, atomic, read_frames, read_json, read_tensors, write_frames, write_json
from tav.params import Edit, Params
from tav.stages import OnProgress, Progress

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def start_latents(inverted: "Tensor", settings: Edit, scheduler: Any) -> "Tensor":
    """Latents to start from: float32 (f c h w).

    inverted: (steps + 1, f, c, h, w), the clean latents first. `from: noise` takes none of the inversion: pure noise,
    or for a strength below 1 the clean latents with that step's share of noise (as SDEdit does).
    """
    import torch

    from tav.model.ddim import first_step

    steps = len(inverted) - 1
    start = first_step(settings.strength, steps)
    if settings.start_from == "inversion":
        return inverted[steps - start]
    noise = torch.randn(inverted.shape[1:], generator=torch.Generator().manual_seed(settings.seed))
    if start == 0:
        return noise
    scheduler.set_timesteps(steps)
    noised: Tensor = scheduler.add_noise(inverted[0], noise, scheduler.timesteps[start : start + 1])
    return noised


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Make an edited video: MP4 as the source was, GIF, contact sheet, and the frames as the model made them."""
    began = time.monotonic()
    asked, settings = params.video_edit(key), params.edit_of(key)
    source_frames = read_frames(artifact("extract", asked.video, "frames"))
    source = read_json(artifact("extract", asked.video, "source/info.json"))
    inverted = read_tensors(artifact("invert", asked.video, "latents.safetensors"))["latents"]

    from tav.budget.plan import Work, announce
    from tav.from_params import open_base, precision_of, told_cut
    from tav.model.ddim import ddim_sample, first_step
    from tav.model.latents import decode
    from tav.model.prompts import encode_prompts

    pipe = open_base(params, tuned=artifact("tune", asked.video, "weights.safetensors"))
    num_frames, height, width, _ = source_frames.shape
    savings = announce(params, Work("edit", key, num_frames, (width, height), settings.guidance_scale != 1), pipe)
    negative, target = encode_prompts(pipe, [settings.negative_prompt, asked.prompt], source_frames.shape[1:3])
    latents = ddim_sample(
        pipe.unet,
        pipe.scheduler,
        start_latents(inverted, settings, pipe.scheduler).to(pipe.device),
        target,
        negative,
        num_inference_steps=len(inverted) - 1,
        guidance_scale=settings.guidance_scale,
        start=first_step(settings.strength, len(inverted) - 1),
        split_guidance=savings.split_guidance,
        on_step=lambda done, total: on_progress(Progress(done, total)),
    )
    frames = decode(pipe.vae, latents)
    audio = artifact("extract", asked.video, "source/audio.flac")
    device = pipe.device.type
    facts = {
        "prompt": asked.prompt,
        "seconds": round(time.monotonic() - began, 2),
        **settings.model_dump(by_alias=True),
        "device": device,
        "precision": precision_of(params.compute, device),
    }
    if cut := told_cut(f"edit@{key}", pipe, asked.prompt):
        facts["cut"] = cut
    _write(key, frames, source, source_frames, audio, facts)


def _write(
    key: str,
    frames: "np.ndarray",
    source: dict[str, Any],
    source_frames: "np.ndarray",
    audio: Path,
    facts: dict[str, Any],
) -> None:
    """All that the stage makes, as one folder: whole or not there."""
    from tav.video import unfit, write_contact_sheet, write_gif, write_mp4

    shown = frames
    if facts["output_size"] == "source":
        shown = unfit(frames, source["width"], source["height"], source["fit"])
    with atomic(artifact("edit", key)) as folder:
        write_frames(folder / "frames", frames)
        write_mp4(folder / "video.mp4", shown, source["fps"], audio_from=audio if audio.exists() else None)
        write_gif(folder / "preview.gif", shown, source["fps"])
        write_contact_sheet(folder / "sheet.png", [source_frames, frames], ["source", facts["prompt"]])
        write_json(folder / "edit.json", facts)
