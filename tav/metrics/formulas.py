"""How good an edit is. Features or frames in, one float out. How to read them: table.py.

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


def positive_consistency(image_features: torch.Tensor) -> float:
    """Mean over consecutive frames of max(0, cosine), in [0, 1].

    V2VBench's semantic consistency with CLIP's pooled features (clip_consistency.py, lines 53-65), and its object
    consistency with DINOv2's (dino_consistency.py). image_features: (f d), f >= 2. Raises ValueError.
    """
    unit = _unit(_several(image_features))
    return float((unit[:-1] * unit[1:]).sum(-1).clamp(min=0).mean())


def structure_distance(keys: torch.Tensor, source_keys: torch.Tensor) -> float:
    """Mean squared difference of two frames' self-similarities, over frames; 0 is the same layout, whatever the look.

    The self-similarity is the cosine of each token's key with each other's, of DINO's last layer (Tumanyan et al.
    2022, equation 3; PIE-Bench's structure distance). keys, source_keys: (f n d), of one shape. Raises ValueError.
    """
    if keys.shape != source_keys.shape:
        raise ValueError(f"expected keys of one shape, got {tuple(keys.shape)} and {tuple(source_keys.shape)}")
    ours, theirs = (unit @ unit.mT for unit in (_unit(keys), _unit(source_keys)))
    return float((ours - theirs).square().mean())


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


def warping_error(frames: np.ndarray, source_frames: np.ndarray) -> float:
    """Mean squared difference of each frame and the next, led back by the source's motion; 0 is no flicker.

    Values in [0, 1], over the pixels that both source frames show (Lai et al. 2018, section 4.2): forward and backward
    flow agree there (Sundaram et al. 2010, equation 5). With OpenCV's DIS flow in the place of FlowNet2; enlarged as
    for `motion_alignment`. frames, source_frames: uint8 (f h w 3), of one shape, f >= 2. Raises ValueError.
    """
    if frames.shape != source_frames.shape:
        raise ValueError(f"edit and source must have one shape, got {frames.shape} and {source_frames.shape}")
    import cv2

    scale: int = max(1, math.ceil(FLOW_SIDE / min(frames.shape[1:3])))
    forward, backward = (_optical_flow(f, scale) for f in (_several(source_frames), source_frames[::-1]))
    large = [cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) for f in frames]
    errors = []
    for i, flow in enumerate(forward):
        seen = _seen_in_both(flow, backward[-1 - i])
        difference = (_led_back(large[i + 1], flow).astype(np.float32) - large[i]) / 255
        errors.append(float(np.square(difference)[seen].mean()) if seen.any() else 0.0)
    return float(np.mean(errors))


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


def _led_back(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """An image, or a flow, taken from where the flow (h w 2) leads: at each pixel x, its value at x + flow(x)."""
    import cv2

    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return np.asarray(
        cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    )


def _seen_in_both(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Where there and back leads to the same pixel: bool (h w)."""
    back = _led_back(backward, forward)
    apart = np.square(forward + back).sum(-1)
    return np.asarray(apart < 0.01 * (np.square(forward).sum(-1) + np.square(back).sum(-1)) + 0.5)


def _unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features.double(), dim=-1)


def _several(frames: T) -> T:
    if len(frames) < 2:
        raise ValueError(f"this metric compares frames: two are needed, got {len(frames)}")
    return frames
