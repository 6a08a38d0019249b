"""Frames from decord, by choice (`extract.reader`), each compared with PyAV's."""

import importlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tav.params import UserError


def by_decord(path: Path) -> Iterator[Any]:
    """decord's frames in order, as its own arrays. Raises UserError where it is not here or can't open the file."""
    if find_spec("decord") is None:
        raise UserError("extract.reader is decord, which has no wheel for this platform: set it to av")
    importlib.import_module("PIL._imagingft")  # before decord, whose libraries take the place of its own: no emoji then
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    try:
        video = decord.VideoReader(str(path.absolute()), num_threads=1)
        for _ in range(len(video)):
            yield video.next()
    except (decord.DECORDError, RuntimeError) as error:
        raise UserError(f"decord can't read {path} ({_first_line(error)}): set extract.reader to av") from None


def checked(path: Path, index: int, picture: Callable[..., np.ndarray], frame: Any) -> np.ndarray:
    """A frame that decord reads as PyAV does, uint8 (h w 3): with colours rounded, which decord cuts off.

    picture: PyAV's. frame: decord's; None where decord ends. Raises UserError where they differ.
    """
    theirs = frame.asnumpy() if frame is not None else None
    if not np.array_equal(picture(rounded=False), theirs):  # type: ignore[arg-type]
        raise UserError(f"decord reads frame {index} of {path} otherwise than PyAV: set extract.reader to av")
    return picture()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
