"""Stage edit: inverted latents, tuned weights, prompt -> edited video (paper, section 4.2)."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.artifacts import artifact, atomic, read_frames, read_json, read_tensors, write_frames, write_json
from tav.params import Params, UserError
from tav.stages import OnProgress, Progress

if TYPE_CHECKING:
    import numpy as np


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Make an edited video: MP4 as the source was, GIF, contact sheet, and the frames as the model made them."""
    began = time.monotonic()
    asked, settings = params.video_edit(key), params.edit_of(key)
    if settings.method != "tune-a-video":
        return run_baseline(params, key, on_progress)
    if settings.controls:
        raise UserError(f"edit {key} has controls, which this version only makes the maps for: leave them out")
    source_frames = read_frames(artifact("extract", asked.video, "frames"))
    source = read_json(artifact("extract", asked.video, "source/info.json"))
    inverted = read_tensors(artifact("invert", asked.video, "latents.safetensors"))

    from tav.budget.plan import Work, announce
    from tav.from_params import open_base, precision_of, sample_edit, told_cut
    from tav.model.ddim import Trajectory
    from tav.model.latents import decode
    from tav.model.prompts import encode_prompts

    pipe = open_base(params, tuned=artifact("tune", asked.video, "weights.safetensors"))
    num_frames, height, width, _ = source_frames.shape
    savings = announce(params, Work("edit", key, num_frames, (width, height), settings.guidance_scale != 1), pipe)
    negative, target = encode_prompts(pipe, [settings.negative_prompt, asked.prompt], source_frames.shape[1:3])
    latents = sample_edit(
        pipe,
        settings,
        Trajectory(**inverted),
        target,
        negative,
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


def run_baseline(params: Params, key: str, on_progress: OnProgress) -> None:
    """Make an edited video by another method, which uses nothing of what was tuned and inverted."""
    began = time.monotonic()
    asked, settings = params.video_edit(key), params.edit_of(key)
    source_frames = read_frames(artifact("extract", asked.video, "frames"))
    source = read_json(artifact("extract", asked.video, "source/info.json"))
    caption = read_json(artifact("caption", asked.video, "caption.json"))["caption"]

    from tav.from_params import edit_by_baseline, open_image_base, precision_of, told_cut

    pipe = open_image_base(params)

    def on_step(done: int, total: int) -> None:
        on_progress(Progress(done, total))

    frames = edit_by_baseline(params, key, pipe, source_frames, caption, on_step)
    audio, device = artifact("extract", asked.video, "source/audio.flac"), pipe.device.type
    facts = {
        "prompt": asked.prompt,
        "seconds": round(time.monotonic() - began, 2),
        **settings.model_dump(by_alias=True),
    }
    facts |= {"device": device, "precision": precision_of(params.compute, device)}
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
