"""A test pattern: colour bars, a square that goes round in two seconds, and each frame's number in black and white."""

from collections.abc import Callable

import numpy as np

BITS = 16
BARS = ((235, 235, 235), (235, 235, 16), (16, 235, 235), (16, 235, 16), (235, 16, 235), (235, 16, 16), (16, 16, 235))


def pattern_of(width: int, height: int, fps: int) -> Callable[[int], np.ndarray]:
    """Draws the frame of a number: uint8 (h w 3), RGB. Width and height at least 64."""
    bars = np.array(BARS, np.uint8)[np.arange(width) * len(BARS) // width]
    still = np.broadcast_to(bars, (height, width, 3)).copy()
    still[height * 3 // 4 :] = np.linspace(16, 235, width).astype(np.uint8)[None, :, None]
    side = height // 8

    def draw(number: int) -> np.ndarray:
        frame = still.copy()
        turn = 2 * np.pi * number / (2 * fps)
        top, left = (round(at) for at in (height * (0.35 - 0.2 * np.cos(turn)), width * (0.45 + 0.3 * np.sin(turn))))
        frame[top : top + side, left : left + side] = 128
        _write_number(frame, number)
        return frame

    return draw


def _write_number(frame: np.ndarray, number: int) -> None:
    for bit in range(BITS):
        rows, columns = _block(frame, bit)
        frame[rows, columns] = 235 if number >> bit & 1 else 16


def read_number(frame: np.ndarray) -> int:
    """The number that a frame of the pattern shows, also after an encoder: 0 to 65535."""
    blocks = (frame[_block(frame, bit)] for bit in range(BITS))
    return sum(1 << bit for bit, block in enumerate(blocks) if block.mean() > 128)


def _block(frame: np.ndarray, bit: int) -> tuple[slice, slice]:
    height, width = frame.shape[:2]
    side = width // BITS
    return slice(height * 7 // 8, height), slice(bit * side, (bit + 1) * side)
