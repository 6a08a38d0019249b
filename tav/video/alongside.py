"""Frames of a second video (maps, a mask) that belong to the frames picked of a source."""

from pathlib import Path
from typing import Any

import numpy as np

from tav.params import UserError
from tav.video.fitting import resize
from tav.video.reading import IMAGE_FPS, probe, shown_frames


def read_alongside(path: Path, source: dict[str, Any]) -> np.ndarray:
    """uint8 (f h w 3): a frame for each one picked of the source, fitted as the source was.

    Args:
        path: a video or a folder of pictures with a frame for each picked one, or with one for each of the source.
        source: what extract wrote of it (source/info.json).

    Raises:
        UserError: not there, not readable, or of another length.
    """
    (width, height), fit, wanted = source["size"], source["fit"], source["indices"]
    first: list[np.ndarray] = []
    picked: dict[int, np.ndarray] = {}
    number = 0
    for number, shown in enumerate(shown_frames(path, probe(path, IMAGE_FPS), "av"), 1):
        if number <= len(wanted) or number - 1 in wanted:
            frame = resize(shown.picture()[None], width, height, fit)
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
