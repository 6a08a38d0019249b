"""A decoded frame as a player shows it: upright, square pixels, transparent parts on white, HDR tone-mapped."""

from typing import TYPE_CHECKING

import numpy as np

from tav.video.hdr import is_hdr, tone_mapped
from tav.video.images import over_white

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.stream import VideoStream

Matrix = tuple[int, int, int, int]
"""(a, b, c, d): a pixel at (x, y) is shown at (a x + c y, b x + d y), y downward."""


def as_shown(frame: "VideoFrame", stream: "VideoStream", rounded: bool = True) -> np.ndarray:
    """uint8 (h w 3), RGB: square pixels, turned and mirrored by the metadata, transparent parts on white, sRGB.

    rounded: colours are rounded, and each pixel has a colour of its own. False: as FFmpeg does when it is asked for
    nothing, and decord with it: cut off, so that every reading makes a picture darker by a level or two of 255.
    """
    width = round(frame.width * (stream.sample_aspect_ratio or 1))
    way = _rounding() if rounded else None
    if is_hdr(frame):
        picture = tone_mapped(frame, width)
    elif any(component.is_alpha for component in frame.format.components):
        picture = over_white(frame.to_ndarray(format="rgba", width=width, interpolation=way))
    else:
        picture = frame.to_ndarray(format="rgb24", width=width, interpolation=way)
    return np.ascontiguousarray(turned(picture, display_matrix(frame)))


def _rounding() -> int:
    """Flags for swscale."""
    from av.video.reformatter import Interpolation

    way = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
    return int(way | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP)


def display_matrix(frame: "VideoFrame") -> Matrix:
    """What the file's metadata (MP4's track header, H.264's SEI) do to the picture."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d, *_ = np.frombuffer(data, np.uint8).view(np.int32).tolist()
            return a, b, c, d
    return 1, 0, 0, 1


def turned(picture: np.ndarray, matrix: Matrix) -> np.ndarray:
    """(h w c) -> (h w c) or (w h c), by the nearest of the eight that map pixels to pixels. A view."""
    a, b, c, d = matrix
    if abs(a) >= abs(b):
        across, down = a < 0, d < 0
    else:
        picture, across, down = picture.swapaxes(0, 1), c < 0, b < 0
    return picture[:: -1 if down else 1, :: -1 if across else 1]


def rotation(matrix: Matrix) -> int:
    """Degrees counter-clockwise of the turn, in quarter turns; with `is_mirrored`, that follows on it."""
    a, b, *_ = matrix
    if abs(a) >= abs(b):
        return 180 if (a < 0) != is_mirrored(matrix) else 0
    return 90 if b < 0 else 270


def is_mirrored(matrix: Matrix) -> bool:
    """Whether left and right are changed over, after the turn."""
    a, b, c, d = matrix
    return a * d - b * c < 0
