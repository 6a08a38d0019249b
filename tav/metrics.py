"""How good an edit is. Features or frames in, one float out. How to read them: metric_table.py.

The formulas are those of the two benchmarks of video editing:
    LOVEU-TGVE 2023   showlab/loveu-tgve-2023 @d75589f, scripts/run_eval.py
    V2VBench          wenhao728/awesome-diffusion-v2v @20afc6f, v2vbench/
"""

import math
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T", torch.Tensor, np.ndarray)

FLOW_SIDE = 256
"""Pixels. Smaller frames are enlarged for the optical flow: at 32 px it is worse than none (docs/metrics.md)."""


def frame_consistency(image_features: torch.Tensor) -> float:
    """Mean cosine over all pairs of different frames, in [-1, 1] (run_eval.py, lines 27-37).

    image_features: CLIP's, (f d), f >= 2. Raises ValueError.
    """
    unit = _unit(_several(image_features))
    similarity = unit @ unit.T
    f = len(unit)
    return float((similarity.sum() - similarity.trace()) / (f * (f - 1)))


def consecutive_consistency(image_features: torch.Tensor) -> float:
    """Mean cosine of each frame and the next, in [-1, 1].

    V2VBench's clip_consistency.py, lines 53-65, but on the projected features that `frame_consistency` takes too,
    and a negative cosine stays negative. image_features: CLIP's, (f d), f >= 2. Raises ValueError.
    """
    unit = _unit(_several(image_features))
    return float((unit[:-1] * unit[1:]).sum(-1).mean())


def textual_alignment(image_features: torch.Tensor, text_features: torch.Tensor, logit_scale: float) -> float:
    """Mean over frames of exp(logit_scale) * cosine(frame, prompt) (run_eval.py, lines 15-23).

    PickScore is the same formula with its own model (lines 41-55). About 0 to 100 with OpenAI's CLIP.
    image_features: (f d); text_features: of one prompt, (d); logit_scale: the model's, a logarithm. Raises ValueError.
    """
    if image_features.ndim != 2 or text_features.shape != image_features.shape[1:]:
        got = f"{tuple(image_features.shape)} and {tuple(text_features.shape)}"
        raise ValueError(f"expected image features (f d) and text features (d), got {got}")
    return math.exp(logit_scale) * float((_unit(image_features) @ _unit(text_features)).mean())


def motion_alignment(frames: np.ndarray, source_frames: np.ndarray) -> float:
    """Negative mean end-point error between the optical flows of edit and source, in pixels; 0 is the same motion.

    V2VBench's definition (motion_alignment.py, lines 94-126), with OpenCV's DIS flow in the place of GMFlow: no
    weights to fetch, but a coarser flow. So compare these values with each other only.
    frames, source_frames: uint8 (f h w 3), RGB, of one shape, f >= 2. Pixels are those of these frames.
    Raises ValueError.
    """
    if frames.shape != source_frames.shape:
        raise ValueError(
            f"edit and source must have one shape to compare, got {frames.shape} and {source_frames.shape}"
        )
    scale: int = max(1, math.ceil(FLOW_SIDE / min(frames.shape[1:3])))
    difference = _optical_flow(frames, scale) - _optical_flow(source_frames, scale)
    end_point_error = float(np.linalg.norm(difference, axis=-1).mean(dtype=np.float64))
    return -end_point_error / scale


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, over all values at once; infinite where a and b are equal.

    a, b: uint8 in [0, 255], of one shape. Raises TypeError, ValueError.
    """
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise TypeError(f"expected two arrays of uint8, got {a.dtype} and {b.dtype}")
    if a.shape != b.shape:
        raise ValueError(f"expected two arrays of one shape, got {a.shape} and {b.shape}")
    error = float(np.square(a.astype(np.float32) - b).mean(dtype=np.float64))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _optical_flow(frames: np.ndarray, scale: int) -> np.ndarray:
    """From each frame to the next, on frames enlarged `scale` times: float32 (f-1 h w 2), in enlarged pixels."""
    import cv2

    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in _several(frames)]
    grey = [cv2.resize(g, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) for g in grey]
    return np.stack([dis.calc(now, then, None) for now, then in pairwise(grey)])


def _unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features.double(), dim=-1)


def _several(frames: T) -> T:
    if len(frames) < 2:
        raise ValueError(f"this metric compares frames: two are needed, got {len(frames)}")
    return frames
