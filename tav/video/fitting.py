"""Fit frames into the size of a model, and back."""

from typing import TYPE_CHECKING

import numpy as np

from tav.params import Fit, UserError

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""
LONGEST = 8192
"""Pixels of a side, as `extract.size` may set them."""


def fitted_size(width: int, height: int, size: int | Size, multiple: int = 8) -> Size:
    """(width, height) that a model can take, for a source of width x height.

    size: the short side, where the long one follows the source's aspect to the nearest multiple; or (width, height).
    multiple: what both sides must be a multiple of; 8 is the factor of Stable Diffusion's VAE.
    Raises UserError when `size` is not such a multiple, or the long side that follows is beyond all measure.
    """
    for side in (size,) if isinstance(size, int) else size:
        if side % multiple or side < multiple:
            near = max(multiple, side // multiple * multiple)
            raise UserError(f"size {side} isn't a multiple of {multiple}: take {near} or {near + multiple}")
    if not isinstance(size, int):
        return size
    long = max(size, round(max(width, height) / min(width, height) * size / multiple) * multiple)
    if long > LONGEST:
        raise UserError(
            f"a source of {width}x{height} would be {long} pixels long at size {size}, {LONGEST} is the most: "
            "set extract.size to [width, height], or cut the source"
        )
    return (long, size) if width >= height else (size, long)


def resize(frames: np.ndarray, width: int, height: int, fit: Fit = "crop") -> np.ndarray:
    """uint8 (f h w 3) -> uint8 (f height width 3).

    crop: the largest middle part of the right aspect. pad: all of it, on black. stretch: all of it, out of aspect.
    Pillow's Lanczos: it widens its filter when it shrinks, so nothing aliases, it is sharp when it enlarges, and its
    box takes fractions of a pixel. OpenCV's INTER_AREA blocks when it enlarges, its INTER_LANCZOS4 aliases.
    """
    _check_frames(frames)
    source, target = _boxes(frames.shape[2], frames.shape[1], width, height, fit)
    return np.stack([np.asarray(_paste(_image(f), source, (width, height), target)) for f in frames])


def moved(point: tuple[float, float], source: Size, target: Size, fit: Fit) -> tuple[float, float]:
    """Where a place of a source lies after `resize`. x and y in shares of the picture, sizes (width, height)."""
    before, after = _boxes(*source, *target, fit)
    shares = (
        ((p * s - before[i]) / (before[i + 2] - before[i]) * (after[i + 2] - after[i]) + after[i]) / t
        for i, (p, s, t) in enumerate(zip(point, source, target, strict=True))
    )
    x, y = (min(1.0, max(0.0, share)) for share in shares)
    return x, y


def unfit(frames: np.ndarray, width: int, height: int, fit: Fit) -> np.ndarray:
    """Undo `resize`: frames of a model's size -> the size and aspect that they have in a source of width x height.

    pad: the borders go. stretch: pressed back. crop: what was cut off is not there, so the result is the size of
    the part that was kept. uint8 (f h w 3) in and out.
    """
    _check_frames(frames)
    source, target = _boxes(width, height, frames.shape[2], frames.shape[1], fit)
    size = (round(source[2] - source[0]), round(source[3] - source[1]))
    return np.stack([np.asarray(_paste(_image(f), target, size, (0, 0, *size))) for f in frames])


def _boxes(width: int, height: int, new_width: int, new_height: int, fit: Fit) -> tuple[Box, Box]:
    """Which part of the source goes to which part (in whole pixels) of the target."""
    across, down = new_width / width, new_height / height
    if fit == "stretch":
        return (0, 0, width, height), (0, 0, new_width, new_height)
    if fit == "crop":
        scale = max(across, down)
        return _middle(width, height, new_width / scale, new_height / scale), (0, 0, new_width, new_height)
    scale = min(across, down)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (new_width - inner[0]) // 2, (new_height - inner[1]) // 2
    return (0, 0, width, height), (left, top, left + inner[0], top + inner[1])


def _middle(width: float, height: float, inner_width: float, inner_height: float) -> Box:
    left, top = max(0.0, (width - inner_width) / 2), max(0.0, (height - inner_height) / 2)
    return left, top, width - left, height - top


def _paste(image: "Image", source: Box, size: Size, target: Box) -> "Image":
    """The part `source` of an image, resized into the part `target` of a black one of `size`."""
    from PIL import Image

    left, top, right, bottom = (round(x) for x in target)
    part = image.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=source)
    if part.size == size:
        return part
    canvas = Image.new("RGB", size)
    canvas.paste(part, (left, top))
    return canvas


def _image(frame: np.ndarray) -> "Image":
    from PIL import Image

    return Image.fromarray(frame)


def _check_frames(frames: np.ndarray) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"frames must be uint8 (f h w 3), got {frames.dtype} {frames.shape}")
