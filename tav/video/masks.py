"""Masks that a person has drawn: pictures and videos that are white where an edit may change something."""

from pathlib import Path
from typing import Any

import numpy as np

from tav.params import UserError
from tav.video.alongside import fitted_alongside
from tav.video.images import read_image
from tav.video.picture_kinds import kind_of
from tav.video.reading import probe, read_frames

LIGHT = 128
"""As light as this, or lighter, is white. There is no grey: a lossy file is no mask with faint parts."""


def read_mask(path: Path, source: dict[str, Any]) -> np.ndarray:
    """The mask of each frame that is edited: bool (f h w), of their size. Brought there as the frames were.

    Args:
        path: a picture, for all frames; a video or a folder of pictures, of as many frames as are edited, or of as
            many as the source has.
        source: what extract wrote of it (source/info.json). The mask may have its shape or that of the frames.

    Raises:
        UserError: not there, not to be read, of other numbers or of another shape.
    """
    if not path.exists():
        raise UserError(f"no mask at {path}: no such file or folder")
    return white(fitted_alongside(_pictures(path, source["indices"]), path, source))


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
