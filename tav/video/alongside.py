"""Pictures beside a source (maps, an edited first frame), brought to the frames' size as the source was."""

from pathlib import Path
from typing import Any

import numpy as np

from tav.params import UserError
from tav.video.fitting import Size, resize
from tav.video.images import read_image
from tav.video.reading import IMAGE_FPS, probe, shown_frames

SAME_SHAPE = 0.03
"""By how much an aspect may be off, for sides that were rounded."""


def read_alongside(path: Path, source: dict[str, Any]) -> np.ndarray:
    """uint8 (f h w 3): a frame for each one picked of the source, of the frames' size.

    Args:
        path: a video or a folder of pictures with a frame for each picked one, or with one for each of the source.
        source: what extract wrote of it (source/info.json).

    Raises:
        UserError: not there, not readable, of another length or shape.
    """
    wanted = source["indices"]
    first: list[np.ndarray] = []
    picked: dict[int, np.ndarray] = {}
    number = 0
    for number, shown in enumerate(shown_frames(path, probe(path, IMAGE_FPS), "av"), 1):
        if number <= len(wanted) or number - 1 in wanted:
            frame = fitted_alongside(shown.picture()[None], path, source)
            first += [frame] if number <= len(wanted) else []
            picked[number - 1] = frame
        if number > max(*wanted, len(wanted)):
            break
    if number == len(wanted):
        return np.concatenate(first)
    if number > max(wanted):
        return np.concatenate([picked[index] for index in wanted])
    raise UserError(
        f"{path} has {number} frames; expected {len(wanted)}, one for each frame of the edit, or one for each of the "
        f"source's, up to frame {max(wanted) + 1}"
    )


def read_picture_alongside(path: Path, source: dict[str, Any]) -> np.ndarray:
    """One picture: uint8 (h w 3), of the frames' size. Arguments and errors as of `read_alongside`."""
    picture: np.ndarray = fitted_alongside(read_picture(path)[None], path, source)[0]
    return picture


def read_picture(path: Path) -> np.ndarray:
    """One picture in its own size: uint8 (h w 3). Raises UserError: not there, not readable."""
    if not path.is_file():
        raise UserError(f"no picture at {path}: no such file")
    return read_image(path)


def fitted_alongside(pictures: np.ndarray, path: Path, source: dict[str, Any]) -> np.ndarray:
    """Pictures of the source's shape or of the frames', to the frames' size. uint8 (f h w 3) in and out."""
    height, width = pictures.shape[1:3]
    of_source, size = (source["width"], source["height"]), (source["size"][0], source["size"][1])
    if _alike((width, height), of_source):
        return resize(pictures, *size, source["fit"])
    if _alike((width, height), size):
        return resize(pictures, *size, "stretch")
    sides = " or ".join(f"{w}x{h}" for w, h in dict.fromkeys([of_source, size]))
    raise UserError(f"{path} is {width}x{height}; expected the shape of the video, {sides}, in any size")


def _alike(one: Size, other: Size) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= SAME_SHAPE
