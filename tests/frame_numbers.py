"""The numbers that the frames of tests/cases/'s videos carry: eight blocks in the middle row, the lowest bit left."""

import numpy as np


def frame_numbers(frames: np.ndarray) -> list[int]:
    """uint8 (f h w 3) -> the number in each."""
    middle = frames[:, frames.shape[1] // 2].mean(axis=-1) > 128  # (f w)
    width = frames.shape[2]
    bits = middle[:, [width * (2 * i + 1) // 16 for i in range(8)]]
    return [int(n) for n in bits @ (1 << np.arange(8))]
