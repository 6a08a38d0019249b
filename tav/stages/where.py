"""The mask of an edit, from what its settings say: drawn, a box, the places of words, a thing that is followed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.artifacts import artifact, read_header, read_json
from tav.model.size import Size
from tav.params import Edit, Mask, Window, user_errors

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from tav.model.ddim import Trajectory


def has_source_beside(settings: Edit) -> bool:
    """Whether the source goes through the network beside the edit."""
    return settings.attention is not None or settings.method == "plug-and-play"


def looks_inside(settings: Edit) -> bool:
    """Whether an edit looks into the network or adds to its attention: then it is not compiled."""
    in_words = settings.mask is not None and bool(settings.mask.words)
    return has_source_beside(settings) or in_words or settings.reference is not None


def caption_of(video: str) -> str:
    """What the weights were tuned on: it stands in their header, save for those of the official code."""
    header = read_header(artifact("tune", video, "weights.safetensors"))
    return (
        header["prompt"]
        if "prompt" in header
        else str(read_json(artifact("caption", video, "caption.json"))["caption"])
    )


def mask_of(
    settings: Mask,
    source: dict[str, Any],
    frames: "np.ndarray",
    pipe: Any,
    inverted: "Trajectory",
    caption: str,
    window: Window | None = None,
) -> "Tensor":
    """The mask of each frame: float32 in [0, 1], f h w, of the frames' size; 1 is where the edit may change something.

    Args:
        settings: of the edit.
        source: what extract noted: where the frames come from.
        frames: uint8 (f h w 3), for a tracker.
        pipe: from `open_base`, tuned. This and the next two for `words` only.
        inverted: the video's.
        caption: what the video shows.
        window: the edit's, for `words`.

    Raises:
        UserError: a file that is not there or does not fit; words that are not in the caption.
    """
    import torch

    from tav.model.masks import shape_mask

    def shown() -> "Tensor":
        if not settings.words:
            return torch.from_numpy(_drawn(settings, source)).float()
        with user_errors():
            return _of_words(settings, Size(*frames.shape[1:3]), pipe, inverted, caption, window)

    mask = shown() if settings.tracker is None else _followed(settings, source, frames, shown, pipe.device)
    return shape_mask(mask, grow=settings.grow, feather=settings.feather, invert=settings.invert)


def _followed(
    settings: Mask,
    source: dict[str, Any],
    frames: "np.ndarray",
    shown: "Callable[[], Tensor]",
    device: "torch.device",
) -> "Tensor":
    """Where a tracker sees the thing that is meant in the first frame. shown: the mask without a tracker."""
    from tav.model.tracker import box_around, follow, load_tracker
    from tav.video import moved

    assert settings.tracker is not None
    picked = [settings.point] if settings.point else [settings.box[:2], settings.box[2:]] if settings.box else []
    sizes = (source["width"], source["height"]), tuple(source["size"])
    with user_errors():
        start: list[tuple[float, float]] | Tensor = [moved(corner, *sizes, source["fit"]) for corner in picked]
        if not picked:  # of words the network sees where they are, not their outline
            start = box_around(shown()[0]) if settings.words else shown()[0]
        tracker = load_tracker(settings.tracker.place, revision=settings.tracker.revision, device=device)
        return follow(tracker, frames, start).cpu()


def _drawn(settings: Mask, source: dict[str, Any]) -> "np.ndarray":
    """From a file, or a box. bool (f h w)."""
    from tav.model.masks import box_mask
    from tav.video import resize
    from tav.video.masks import mask_pictures, read_mask, white

    if settings.path:
        return read_mask(Path(settings.path), source)
    assert settings.box is not None
    width, height = source["size"]
    box = box_mask(settings.box, source["height"], source["width"]).numpy()[None]  # of the source, which may be cut
    return white(resize(mask_pictures(box), width, height, source["fit"])).repeat(len(source["indices"]), axis=0)


def _of_words(
    settings: Mask, size: Size, pipe: Any, inverted: "Trajectory", caption: str, window: Window | None
) -> "Tensor":
    """Where the network sees words of the caption in the video."""
    from tav.from_params.sampling import in_windows
    from tav.model.alignment import chosen
    from tav.model.ddim import Schedule
    from tav.model.denoiser import Network
    from tav.model.masks import mask_of_maps, smooth_over_time
    from tav.model.prompts import encode_prompts
    from tav.model.word_masks import maps_of_words

    marks = chosen(pipe.tokenizer, [caption], list(settings.words or ()))
    (prompts,) = encode_prompts(pipe, [caption], size)
    schedule = Schedule.of(pipe.scheduler, inverted.steps)
    maps = maps_of_words(
        pipe.unet,
        Network(pipe.unet),
        schedule,
        inverted,
        prompts,
        marks,
        around=lambda denoise: in_windows(denoise, window),
    )
    return mask_of_maps(smooth_over_time(maps), *size, settings.threshold).cpu()
