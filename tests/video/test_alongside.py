"""Frames of a second video that belong to those picked of a source."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tav.artifacts import write_frames
from tav.params import UserError
from tav.video import read_alongside, write_mp4

SOURCE: dict[str, Any] = {"size": [16, 8], "fit": "stretch", "indices": [1, 3, 5]}


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
