"""Frames of a second video that belong to those picked of a source."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tav.artifacts import write_frames
from tav.params import UserError
from tav.video import read_alongside, read_picture_alongside, write_mp4

SOURCE: dict[str, Any] = {"size": [16, 8], "fit": "stretch", "indices": [1, 3, 5], "width": 64, "height": 32}


def levels(number: int) -> np.ndarray:
    """uint8 (f 8 16 3): frame i has the level 20 i."""
    return np.broadcast_to((20 * np.arange(number))[:, None, None, None], (number, 8, 16, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(3, [0, 1, 2]), (6, [1, 3, 5]), (9, [1, 3, 5])],
    ids=["as many as were picked", "as the source up to the last", "as the source"],
)
def test_as_many_as_were_picked_or_as_the_source_has(tmp_path: Path, number: int, expected: list[int]) -> None:
    write_frames(tmp_path / "maps", levels(number))
    got = read_alongside(tmp_path / "maps", SOURCE)
    assert (got == levels(number)[expected]).all()


def test_they_are_fitted_as_the_source_was(tmp_path: Path) -> None:
    write_mp4(tmp_path / "maps.mp4", levels(3).repeat(4, axis=1).repeat(4, axis=2), 8)
    got = read_alongside(tmp_path / "maps.mp4", SOURCE)
    assert got.shape == (3, 8, 16, 3)
    assert np.abs(got.astype(int) - levels(3)).max() < 4


@pytest.mark.parametrize("number", [1, 2, 4, 5])
def test_another_length_is_told(tmp_path: Path, number: int) -> None:
    write_frames(tmp_path / "maps", levels(number))
    with pytest.raises(UserError, match=f"maps has {number} frames; expected 3, one for each frame of the edit, or"):
        read_alongside(tmp_path / "maps", SOURCE)


def test_what_has_the_frames_shape_is_not_cut_as_the_source_was(tmp_path: Path) -> None:
    """A square part of a wide source: maps of the square are whole, maps of the source are cut as it was."""
    cut = SOURCE | {"size": [8, 8], "fit": "crop", "width": 32, "height": 16}
    ramp = np.broadcast_to(np.arange(0, 256, 16)[None, None, :, None], (3, 8, 16, 3)).astype(np.uint8)
    write_frames(tmp_path / "wide", ramp)
    write_frames(tmp_path / "square", ramp[:, :, 4:12])
    wide, square = read_alongside(tmp_path / "wide", cut), read_alongside(tmp_path / "square", cut)
    assert (wide == square).all()
    assert (square == ramp[:, :, 4:12]).all()


def test_a_picture(tmp_path: Path) -> None:
    write_frames(tmp_path / "one", levels(3)[2:])
    picture = tmp_path / "one/00000.png"
    assert (read_picture_alongside(picture, SOURCE) == 40).all()
    with pytest.raises(UserError, match=r"nowhere.png: no such file"):
        read_picture_alongside(tmp_path / "nowhere.png", SOURCE)
    with pytest.raises(UserError, match=r"00000.png is 16x8; expected the shape of the video, 30x40 or 24x32, in any"):
        read_picture_alongside(picture, SOURCE | {"size": [24, 32], "width": 30, "height": 40})
