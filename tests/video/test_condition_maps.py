"""Condition maps show what their names say, and no more."""

import numpy as np
import pytest
from tiny import moving_square

from tav.video import condition_maps

FRAMES = moving_square(3, 64, 96)
"""A square of 21 pixels, coloured, on a smooth grey ramp."""


def border(frames: np.ndarray, reach: int = 2) -> np.ndarray:
    """bool (f h w): within `reach` pixels of the square's edge."""
    import cv2

    coloured = (frames.max(-1).astype(int) - frames.min(-1) > 20).astype(np.uint8)
    kernel = np.ones((2 * reach + 1,) * 2, np.uint8)
    return np.stack([cv2.dilate(c, kernel) > cv2.erode(c, kernel) for c in coloured])


@pytest.mark.parametrize("kind", ["canny", "lineart", "scribble"])
def test_lines_are_white_where_the_square_ends_and_black_elsewhere(kind: str) -> None:
    maps = getattr(condition_maps, kind)(FRAMES)
    assert (maps.dtype, maps.shape) == (np.uint8, FRAMES.shape)
    assert (maps == maps[..., :1]).all()
    edge = border(FRAMES)
    for lines, near in zip(maps[..., 0], edge, strict=True):
        assert lines[near].max() > 200
        assert lines[~near].max() < 40
        assert (lines > 127).sum() >= 60  # the square's way around is 84


def test_canny_draws_only_what_is_strong_enough() -> None:
    faint = np.full((1, 32, 32, 3), 100, np.uint8)
    faint[:, :, 16:] = 120
    assert not condition_maps.canny(faint, (100, 200)).any()
    assert condition_maps.canny(faint, (20, 40)).any()


def test_soft_edges_are_scaled_by_the_whole_video() -> None:
    """A frame with a weak edge alone does not have it drawn as strong."""
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    frames[0, :, 16:], frames[1, :, 16:] = 200, 20
    strong, weak = condition_maps.lineart(frames)
    assert strong.max() == 255
    assert 0 < weak.max() < 40
    assert not condition_maps.lineart(np.zeros((2, 32, 32, 3), np.uint8)).any()


def test_coarse_maps_keep_colours_and_lose_detail() -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    for coarse in (condition_maps.tile(noisy, 8), condition_maps.blur(noisy, 4.0)):
        assert coarse.shape == noisy.shape
        assert abs(float(coarse.mean()) - float(noisy.mean())) < 2
        assert coarse.std() < noisy.std() / 4
    grey = condition_maps.luma(noisy)
    assert (grey == grey[..., :1]).all()
    red, green, blue = noisy[0, 0, 0].astype(float)
    assert grey[0, 0, 0, 0] == pytest.approx(0.299 * red + 0.587 * green + 0.114 * blue, abs=1)
