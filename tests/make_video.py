"""Small real video files, made with PyAV, whose frames can be told apart."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def moving_frames(num_frames: int = 24, width: int = 128, height: int = 96) -> np.ndarray:
    """A soft background with a white box that moves: uint8 (f h w 3)."""
    y, x = np.mgrid[:height, :width]
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for i in range(num_frames):
        frames[i] = np.stack([x * 200 // width, y * 200 // height, np.full_like(x, 10 * i % 200)], axis=-1)
        left = i * (width - width // 8) // num_frames
        frames[i, height // 4 : height // 2, left : left + width // 8] = 255
    return frames


def make_video(
    path: Path,
    frames: np.ndarray | None = None,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: Fraction | int = 30,
    options: dict[str, str] | None = None,
    times: list[int] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    tone: float | None = None,
) -> Path:
    """Encode frames. times: milliseconds of each, for a variable rate. tone: seconds of a sine that rises in steps."""
    frames = moving_frames() if frames is None else frames
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if aspect:
            stream.sample_aspect_ratio = aspect
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        voice = container.add_stream("aac", rate=44100, layout="mono") if tone else None
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (times[i], Fraction(1, 1000)) if times else (i, 1 / Fraction(fps))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice and tone:
            _encode_tone(container, voice, tone)
    return path


def _encode_tone(container: Any, stream: Any, seconds: float) -> None:
    """Silent in odd tenths of a second, so that a shift shows."""
    t = np.arange(round(seconds * 44100)) / 44100
    wave = np.sin(2 * np.pi * 440 * t) * 8000 * (np.floor(t * 10) % 2 == 0)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = 44100, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))


def nearest(frames: np.ndarray, originals: np.ndarray) -> list[int]:
    """For each frame the index of the original that it is most like."""
    return [int(np.argmin([np.mean((frame.astype(float) - o) ** 2) for o in originals])) for frame in frames]
