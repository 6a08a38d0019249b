"""HDR video (PQ, HLG; BT.2020) -> sRGB: white paper comes out near white, brighter lights roll off."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame

PQ, HLG = 16, 18  # of FFmpeg's color_trc
BT2020 = 9  # of its color_primaries, and of swscale's matrices
WHITE = 203.0
"""Nits of white paper (ITU-R BT.2408)."""
PEAK = 1000.0
"""Nits that become the brightest white."""
KNEE = 0.5
"""Of white paper's light: up to here nothing changes."""
TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # ITU-R BT.2087


def is_hdr(frame: "VideoFrame") -> bool:
    return frame.color_trc in (PQ, HLG)


def tone_mapped(frame: "VideoFrame", width: int) -> np.ndarray:
    """A PQ or HLG frame -> uint8 (h w 3), sRGB, this wide."""
    coded = frame.to_ndarray(format="rgb48le", width=width, src_colorspace=BT2020)
    light = _pq_light()[coded] if frame.color_trc == PQ else _hlg_display(_hlg_light()[coded])
    if frame.color_primaries == BT2020:
        light = np.clip(light @ TO_BT709.T, 0, None)
    brightest = np.clip(light.max(axis=-1, keepdims=True), 1e-6, None)
    return _srgb(light * (_rolled_off(brightest) / brightest))


@cache
def _pq_light() -> np.ndarray:
    """Each 16-bit code's light, float32, 1 for white paper. SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.linspace(0, 1, 65536) ** (1 / m2)
    return (10_000 / WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)).astype(np.float32)


@cache
def _hlg_light() -> np.ndarray:
    """Each 16-bit code's light of the scene, float32, 0 to 1. ITU-R BT.2100."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    code = np.linspace(0, 1, 65536)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


def _hlg_display(scene: np.ndarray) -> np.ndarray:
    """Light of the scene -> of a screen of PEAK nits, 1 for white paper."""
    luma = scene @ np.array([0.2627, 0.678, 0.0593], np.float32)
    shown: np.ndarray = np.float32(PEAK / WHITE) * scene * np.clip(luma, 0, None)[..., None] ** np.float32(0.2)
    return shown


def _rolled_off(light: np.ndarray) -> np.ndarray:
    """Light up to PEAK -> up to 1, along a Moebius curve above the knee."""
    peak = PEAK / WHITE
    a = -(KNEE**2) * (peak - 1) / (KNEE**2 - 2 * KNEE + peak)
    b = (KNEE**2 - 2 * KNEE * peak + peak) / (peak - 1)
    curve = (b + KNEE) ** 2 / (b - a) * (light + a) / (light + b)
    return np.where(light <= KNEE, light, np.minimum(curve, 1))


def _srgb(light: np.ndarray) -> np.ndarray:
    """Linear 0 to 1 -> uint8 as coded."""
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.clip(light, 1e-6, None) ** (1 / 2.4) - 0.055)
    levels: np.ndarray = np.clip(np.rint(255 * coded), 0, 255).astype(np.uint8)
    return levels
