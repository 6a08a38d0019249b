"""Condition maps by OpenCV alone: what a ControlNet or a T2I-Adapter is shown of a frame.

All take and give uint8 (f h w 3); maps of lines are white on black, in three equal channels, as the published
networks were trained with. What is scaled is scaled by the whole video, so that a still line does not flicker.
"""

import numpy as np

LINE = 99
"""Percentile of the gradient that is drawn white."""


def canny(frames: np.ndarray, thresholds: tuple[int, int] = (100, 200)) -> np.ndarray:
    """Edges, one pixel wide (Canny 1986; thresholds as ControlNet's authors have them)."""
    import cv2

    return _three([cv2.Canny(_grey(frame), *thresholds) for frame in frames])


def lineart(frames: np.ndarray) -> np.ndarray:
    """Soft edges: the length of the gradient (Scharr) after a slight blur. Stands in for HED and for line art."""
    strength = np.stack([_gradient(_grey(frame)) for frame in frames])
    top = np.percentile(strength, LINE) or 1.0
    return _three(((strength / top).clip(0, 1) * 255).astype(np.uint8))


def scribble(frames: np.ndarray) -> np.ndarray:
    """Few, thick lines: the strong soft edges, widened as a pen of 1/100 of the short side would."""
    import cv2

    pen = 1 + 2 * round(min(frames.shape[1:3]) / 200)
    strong = (lineart(frames)[..., 0] > 127).astype(np.uint8) * 255
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen, pen))
    return _three([cv2.dilate(lines, disc) for lines in strong])


def luma(frames: np.ndarray) -> np.ndarray:
    """Grey, of BT.601's weights."""
    return _three([_grey(frame) for frame in frames])


def tile(frames: np.ndarray, factor: int = 8) -> np.ndarray:
    """Shrunk and enlarged again: the colours in their places, without detail."""
    import cv2

    height, width = frames.shape[1:3]
    small = max(1, width // factor), max(1, height // factor)
    shrunk = (cv2.resize(frame, small, interpolation=cv2.INTER_AREA) for frame in frames)
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in shrunk])


def blur(frames: np.ndarray, sigma: float = 8.0) -> np.ndarray:
    """Gaussian blur; sigma in pixels."""
    import cv2

    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def _grey(frame: np.ndarray) -> np.ndarray:
    import cv2

    grey: np.ndarray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return grey


def _gradient(grey: np.ndarray) -> np.ndarray:
    """float32 (h w)."""
    import cv2

    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), max(0.5, min(grey.shape) / 512))
    across, down = (cv2.Scharr(smooth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    length: np.ndarray = np.hypot(across, down)
    return length


def _three(maps: list[np.ndarray] | np.ndarray) -> np.ndarray:
    return np.repeat(np.stack(list(maps))[..., None], 3, axis=-1)
