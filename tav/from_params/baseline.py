"""Edits by other methods than Tune-A-Video, as params.yaml asks for them."""

from typing import TYPE_CHECKING, Any

from tav.from_params.base import dtype_of, open_as_it_is
from tav.params import BY_VIDEO_MODEL, Params, user_errors

if TYPE_CHECKING:
    import numpy as np

    from tav.model.ddim import OnStep


def open_baseline(params: Params, key: str) -> Any:
    """What a baseline edits with: the base with its own UNet, which sees each frame alone, or a video model.

    Raises UserError.
    """
    settings = params.edit_of(key)
    if settings.method not in BY_VIDEO_MODEL or settings.video_model is None:
        return open_as_it_is(params)[0]
    from tav.model.device import best_device
    from tav.model.video_models import load_video_model

    model, device = settings.video_model, best_device()
    dtype = dtype_of(params.compute, device)
    with user_errors():
        return load_video_model(settings.method, model.place, revision=model.revision, dtype=dtype, device=device)


def edit_by_baseline(
    params: Params,
    key: str,
    pipe: Any,
    frames: "np.ndarray",
    lines: "np.ndarray",
    caption: str,
    on_step: "OnStep | None" = None,
) -> "np.ndarray":
    """An edit by another method than Tune-A-Video: uint8 (f h w 3), as `frames`, the source. Raises UserError.

    pipe: from `open_baseline`. lines: the source's scribbles, as `frames`, which wan-vace follows.
    """
    from tav.model.baselines import Asked, edit_frames

    settings, invert = params.edit_of(key), params.invert
    asked = Asked(
        prompt=params.video_edit(key).prompt,
        negative_prompt=settings.negative_prompt,
        inversion_prompt=caption if invert.prompt is None else invert.prompt,
        num_inference_steps=invert.num_inference_steps,
        strength=settings.strength,
        guidance_scale=settings.guidance_scale,
        seed=settings.seed,
        caption=caption,
    )
    with user_errors():
        if settings.method in BY_VIDEO_MODEL:
            from tav.model.video_models import edit_by_video_model

            return edit_by_video_model(settings.method, pipe, frames, asked, lines, on_step)
        return edit_frames(settings.method, pipe, frames, asked, on_step)
