"""Stage edit: inverted latents, tuned weights, prompt -> edited video (paper, section 4.2)."""

import time
from typing import TYPE_CHECKING, Any

from tav.artifacts import artifact, atomic, read_frames, read_json, read_tensors, write_frames, write_json
from tav.model.size import Size
from tav.params import ON_TUNED, Params, settings_text, user_errors
from tav.stages import OnProgress, Progress
from tav.stages.following import first_frame_of, reference_of
from tav.stages.maps import check_tuned_under, maps_of
from tav.stages.where import caption_of, has_source_beside, looks_inside, mask_of

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tav.budget.plan import Savings


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Make an edited video: MP4 as the source was, GIF, contact sheet, and the frames as the model made them."""
    began = time.monotonic()
    asked, settings = params.video_edit(key), params.edit_of(key)
    if settings.method not in ON_TUNED:
        return run_baseline(params, key, on_progress)
    check_tuned_under(params, asked.video)
    source_frames = read_frames(artifact("extract", asked.video, "frames"))
    source = read_json(artifact("extract", asked.video, "source/info.json"))
    inverted = read_tensors(artifact("invert", asked.video, "latents.safetensors"))
    maps, picture = maps_of(settings.controls, asked.video, source), first_frame_of(settings, source)
    seen = reference_of(settings)

    from tav.budget.fallback import with_less_memory
    from tav.budget.plan import announce, edit_work
    from tav.from_params.base import open_base
    from tav.from_params.controls import controls_of, open_controls, open_reference, reference_shapes
    from tav.from_params.sampling import Words, sample_edit
    from tav.model.ddim import Trajectory
    from tav.model.latents import decode, encode_moments
    from tav.model.masks import blend_frames
    from tav.model.prompts import encode_prompts

    if params.compute.compile and looks_inside(settings):
        print(f"edit@{key}: not compiled, since the network is looked into", flush=True)
        params = params.model_copy(update={"compute": params.compute.model_copy(update={"compile": False})})
    pipe = open_base(params, tuned=artifact("tune", asked.video, "weights.safetensors"), loras=settings.loras)
    size, trajectory = Size(*source_frames.shape[1:3]), Trajectory(**inverted)
    networks = open_controls(settings.controls, pipe)
    work = edit_work(params, key, len(source_frames), size, networks, reference_shapes(settings, pipe))
    savings = announce(params, work, pipe)
    controls = controls_of(settings.controls, networks, list(maps.values()), pipe)
    reference = open_reference(settings, seen, pipe)
    negative, target = encode_prompts(pipe, [settings.negative_prompt, asked.prompt], size)
    caption = caption_of(asked.video) if looks_inside(settings) else ""
    where = (source, source_frames, pipe, trajectory, caption, settings.window)
    mask = mask_of(settings.mask, *where) if settings.mask else None
    beside = has_source_beside(settings)
    words = Words(caption, asked.prompt, *encode_prompts(pipe, [caption], size)) if beside else None

    def sample(how: "Savings") -> "Tensor":
        return sample_edit(
            pipe,
            settings,
            trajectory,
            target,
            negative,
            words=words,
            mask=mask,
            attachments=[controls] if controls else [],
            first_frame=None if picture is None else encode_moments(pipe.vae, picture[None]).mean,
            reference=reference,
            split_guidance=how.split_guidance,
            on_step=lambda done, total: on_progress(Progress(done, total)),
        )

    with user_errors():
        latents = with_less_memory(params, work, savings, sample)
    frames = decode(pipe.vae, latents)
    if mask is not None:
        frames = blend_frames(source_frames, frames, mask)
    rows = {"source": source_frames, **maps, **_reference_row(seen, size)}
    _write(params, key, frames, source, rows, mask, _facts(params, key, pipe, began), caption_of(asked.video))


def _reference_row(picture: "np.ndarray | None", size: Size) -> "dict[str, np.ndarray]":
    """Of the contact sheet: the square of a reference that counts, as high as the frames."""
    from tav.video import resize

    return {} if picture is None else {"reference": resize(picture[None], size.height, size.height, "crop")}


def run_baseline(params: Params, key: str, on_progress: OnProgress) -> None:
    """Make an edited video by another method, which uses nothing of what was tuned and inverted."""
    began = time.monotonic()
    asked = params.video_edit(key)
    source_frames = read_frames(artifact("extract", asked.video, "frames"))
    source = read_json(artifact("extract", asked.video, "source/info.json"))
    caption = read_json(artifact("caption", asked.video, "caption.json"))["caption"]

    from tav.from_params.baseline import edit_by_baseline, open_baseline
    from tav.video.condition_maps import scribble

    pipe, rows = open_baseline(params, key), {"source": source_frames}
    if params.edit_of(key).method == "wan-vace":
        rows["scribble"] = scribble(source_frames)

    def on_step(done: int, total: int) -> None:
        on_progress(Progress(done, total))

    frames = edit_by_baseline(params, key, pipe, source_frames, list(rows.values())[-1], caption, on_step)
    _write(params, key, frames, source, rows, None, _facts(params, key, pipe, began), caption)


def _facts(params: Params, key: str, pipe: Any, began: float) -> dict[str, Any]:
    """What edit.json says: the settings, the seconds since `began`, the device."""
    from tav.from_params.base import precision_of, warn_of_cut

    asked, device = params.video_edit(key), pipe.device.type
    facts = {
        "prompt": asked.prompt,
        "seconds": round(time.monotonic() - began, 2),
        **params.edit_of(key).model_dump(by_alias=True),
        "device": device,
        "precision": precision_of(params.compute, device),
    }
    if cut := warn_of_cut(f"edit@{key}", pipe, asked.prompt):
        facts["cut"] = cut
    return facts


def _write(
    params: Params,
    key: str,
    frames: "np.ndarray",
    source: dict[str, Any],
    rows: "dict[str, np.ndarray]",
    mask: "Tensor | None",
    facts: dict[str, Any],
    caption: str,
) -> None:
    """All that the stage makes, as one folder: whole or not there.

    rows: of the contact sheet, above mask and edit. caption: goes into the MP4 and the GIF, with the settings.
    """
    from tav.video import unfit, write_contact_sheet, write_gif, write_mp4
    from tav.video.masks import mask_pictures

    audio = artifact("extract", params.video_edit(key).video, "source/audio.flac")
    sound = audio if audio.exists() else None
    text = settings_text(params, key, caption) if params.edit_of(key).metadata else None
    shown = frames
    if facts["output_size"] == "source":
        shown = unfit(frames, source["width"], source["height"], source["fit"])
    with atomic(artifact("edit", key)) as folder:
        write_frames(folder / "frames", frames)
        if mask is not None:
            rows = rows | {"mask": mask_pictures(mask.numpy())}
            write_frames(folder / "frames/mask", rows["mask"])
        write_mp4(folder / "video.mp4", shown, source["fps"], audio_from=sound, text=text)
        write_gif(folder / "preview.gif", shown, source["fps"], text=text)
        write_contact_sheet(folder / "sheet.png", [*rows.values(), frames], [*rows, facts["prompt"]])
        write_json(folder / "edit.json", facts)
