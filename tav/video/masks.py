"""Masks that a person has drawn: pictures and videos that are white where an edit may change something."""

from pathlib import Path

import numpy as np

from tav.params import Fit, UserError
from tav.video.fitting import Size, resize
from tav.video.images import read_image
from tav.video.picture_kinds import kind_of
from tav.video.reading import probe, read_frames

LIGHT = 128
"""As light as this, or lighter, is white. There is no grey: a lossy file is no mask with faint parts."""
SAME_SHAPE = 0.03
"""By how much a mask's aspect may be off, for sides that were rounded."""


def read_mask(path: Path, indices: list[int], source: Size, size: Size, fit: Fit) -> np.ndarray:
    """The mask of each frame that is edited: bool (f h w), of their size. Brought there as the frames were.

    Args:
        path: a picture, for all frames; a video or a folder of pictures, of as many frames as are edited, or of as
            many as the source has.
        indices: which of the source's frames are edited.
        source: width and height of the source.
        size: width and height of the edited frames. The mask may have the source's shape or theirs.
        fit: how they were made of the source.

    Raises:
        UserError: not there, not to be read, of other numbers or of another shape.
    """
    if not path.exists():
        raise UserError(f"no mask at {path}: no such file or folder")
    pictures = _pictures(path, indices)
    height, width = pictures.shape[1:3]
    if alike((width, height), source):
        return white(resize(pictures, *size, fit))
    if alike((width, height), size):
        return white(resize(pictures, *size, "stretch"))
    sides = " or ".join(f"{w}x{h}" for w, h in dict.fromkeys([source, size]))
    raise UserError(f"the mask {path} is {width}x{height}; expected the shape of the video, {sides}, in any size")


def white(frames: np.ndarray) -> np.ndarray:
    """Where pictures are white: uint8 (f h w 3) to bool (f h w)."""
    return np.asarray(frames.mean(-1) >= LIGHT)


def mask_pictures(mask: np.ndarray) -> np.ndarray:
    """A mask, (f h w) in [0, 1], to look at: uint8 (f h w 3)."""
    return np.round(mask * 255).astype(np.uint8)[..., None].repeat(3, axis=-1)


def _pictures(path: Path, indices: list[int]) -> np.ndarray:
    """uint8 (f h w 3), of the mask's own size."""
    if path.is_file() and kind_of(path) not in (None, "GIF"):
        return read_image(path)[None].repeat(len(indices), axis=0)
    number = probe(path).num_frames
    if number == len(indices):
        return read_frames(path, list(range(number)))
    if number is not None and number <= indices[-1]:
        raise UserError(
            f"the mask {path} has {number} frames; expected {len(indices)}, one for each that is edited, or as many "
            "as the video has"
        )
    return read_frames(path, indices)


def alike(one: Size, other: Size) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= SAME_SHAPE
