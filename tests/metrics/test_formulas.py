import itertools
import math

import numpy as np
import pytest
import torch
from tiny import moving_square

from tav.metrics.formulas import (
    FLOW_SIDE,
    consecutive_consistency,
    frame_consistency,
    motion_alignment,
    psnr,
    textual_alignment,
)


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(0)) + 0.5


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.double(), b.double()
    return float(a @ b / (a.norm() * b.norm()))


def test_frame_consistency_is_the_mean_over_all_pairs(features):
    pairs = [cosine(a, b) for a, b in itertools.combinations(features, 2)]
    assert frame_consistency(features) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_frame_consistency_as_the_benchmark_writes_it(features):
    """run_eval.py fills the diagonal with zeros and divides by f (f - 1)."""
    matrix = np.array([[cosine(a, b) for b in features] for a in features])
    np.fill_diagonal(matrix, 0)
    assert frame_consistency(features) == pytest.approx(matrix.sum() / (5 * 4), abs=1e-12)


def test_consecutive_consistency_is_the_mean_over_neighbours(features):
    neighbours = [cosine(a, b) for a, b in itertools.pairwise(features)]
    assert consecutive_consistency(features) == pytest.approx(np.mean(neighbours), abs=1e-12)


def test_order_counts_for_neighbours_alone():
    there_and_back = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    shuffled = there_and_back[[0, 2, 1, 3]]
    assert frame_consistency(shuffled) == pytest.approx(frame_consistency(there_and_back))
    assert consecutive_consistency(shuffled) < consecutive_consistency(there_and_back) - 0.3


@pytest.mark.parametrize("metric", [frame_consistency, consecutive_consistency])
def test_equal_and_opposite_frames(metric):
    assert metric(torch.ones(3, 4) * torch.tensor([[1.0], [2.0], [0.1]])) == pytest.approx(1)
    assert metric(torch.tensor([[1.0, 2.0], [-1.0, -2.0]])) == pytest.approx(-1)


@pytest.mark.parametrize("metric", [frame_consistency, consecutive_consistency])
def test_one_frame_has_no_other(metric):
    with pytest.raises(ValueError, match="two are needed, got 1"):
        metric(torch.ones(1, 4))


def test_textual_alignment_is_the_logit_of_clip(features):
    text = torch.randn(7, generator=torch.Generator().manual_seed(1))
    naive = np.mean([math.exp(2.5) * cosine(frame, text) for frame in features])
    assert textual_alignment(features, text, 2.5) == pytest.approx(naive, abs=1e-10)


def test_textual_alignment_says_what_it_got(features):
    with pytest.raises(ValueError, match=r"features \(f d\) and text features \(d\), got \(5, 7\) and \(6,\)"):
        textual_alignment(features, torch.ones(6), 1.0)


def square_at(lefts: list[int], side: int = 64) -> np.ndarray:
    """A textured square on a textured ground; its left edge in each frame."""
    rng = np.random.default_rng(0)
    ground, square = (rng.integers(*span, (side // 4, side // 4, 3)) for span in ((0, 120), (140, 256)))
    ground, square = (np.kron(t, np.ones((4, 4, 1))).astype(np.uint8) for t in (ground, square))
    frames = np.stack([ground] * len(lefts))
    for frame, left in zip(frames, lefts, strict=True):
        frame[side // 4 : side * 3 // 4, left : left + side // 2] = square[: side // 2, : side // 2]
    return frames


def test_motion_alignment_of_a_video_with_itself_is_zero():
    frames = moving_square(4, 48, 64)
    assert motion_alignment(frames, frames) == 0


def test_motion_alignment_is_in_pixels_of_the_frames():
    """A whole picture that moves by 3 px a frame, against one that stands still: the error is 3 px."""
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 256, (16, 32, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    moving = np.stack([wide[:, 3 * i : 3 * i + 64] for i in range(5)])
    still = np.stack([wide[:, :64]] * 5)
    assert motion_alignment(moving, still) == pytest.approx(-3, abs=0.2)


def test_motion_alignment_is_less_for_another_path():
    source = square_at([8, 11, 14, 17])
    same_path = 255 - source  # another look, the same motion
    slower, backwards = square_at([8, 9, 10, 11]), source[::-1].copy()
    values = [motion_alignment(frames, source) for frames in (same_path, slower, backwards)]
    assert values == sorted(values, reverse=True)
    assert values[0] > -0.2 > values[1]


def test_motion_alignment_of_small_and_large_frames_agree():
    """Small frames are enlarged for the flow; the error is in their own pixels all the same."""
    source, edit = square_at([8, 11, 14, 17]), square_at([8, 9, 10, 11])
    large = [np.kron(f, np.ones((1, 8, 8, 1), np.uint8)) for f in (edit, source)]
    assert large[0].shape[1] > FLOW_SIDE > edit.shape[1]
    assert motion_alignment(*large) == pytest.approx(8 * motion_alignment(edit, source), rel=0.25)


def test_motion_alignment_of_frames_smaller_than_the_flow_can_take():
    assert motion_alignment(moving_square(3, 8, 8), moving_square(3, 8, 8)) == 0


def test_motion_alignment_refuses_what_it_cannot_compare():
    with pytest.raises(ValueError, match=r"\(3, 8, 8, 3\) and \(4, 8, 8, 3\)"):
        motion_alignment(moving_square(3, 8, 8), moving_square(4, 8, 8))
    with pytest.raises(ValueError, match="two are needed, got 1"):
        motion_alignment(moving_square(1, 8, 8), moving_square(1, 8, 8))


def test_psnr():
    a = np.full((2, 4, 4, 3), 100, np.uint8)
    assert psnr(a, a) == math.inf
    assert psnr(a, a + 1) == pytest.approx(20 * math.log10(255))
    assert psnr(np.zeros_like(a), np.full_like(a, 255)) == pytest.approx(0)
    assert psnr(a, a - 10) == psnr(a - 10, a)  # unsigned numbers don't wrap
    with pytest.raises(TypeError, match="got uint8 and float32"):
        psnr(a, a.astype(np.float32))
    with pytest.raises(ValueError, match="one shape"):
        psnr(a, a[:1])
