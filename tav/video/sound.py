"""The sound of a video: taken out for a span, and put beside the edited frames."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tav.artifacts import atomic
from tav.params import UserError
from tav.video.opening import open_media
from tav.video.picking import Span

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

GAP = 0.1  # seconds; smaller differences of time stamps are rounding, as Matroska's to the millisecond


def read_audio(path: Path, span: Span | None = None) -> tuple[np.ndarray, int]:
    """The samples of a span, int16 (channels samples), mono or stereo, and their rate in Hz.

    The span counts from the first video frame. Where the file has no sound it is silent, so the length is that of
    the span to the sample. Without a span: all of it. Raises UserError when it can't be decoded.
    """
    import av

    try:
        with open_media(path) as container:
            audio = container.streams.audio[0]
            rate = audio.codec_context.sample_rate
            layout = "mono" if audio.codec_context.channels == 1 else "stereo"
            start = _first_picture(container) + (span.start if span else 0.0)
            length = round((span.end - span.start) * rate) if span else None
            pieces = list(_pieces(container, layout, start, length))
    except (av.FFmpegError, IndexError) as error:
        raise UserError(
            f"the sound of {path} can't be read ({error}): take it out of the video, or repair it"
        ) from None
    length = max((at + piece.shape[1] for at, piece in pieces), default=0) if length is None else length
    samples = np.zeros((1 if layout == "mono" else 2, length), np.int16)
    for at, piece in pieces:
        samples[:, at : at + piece.shape[1]] = piece[:, : length - at]
    return samples, rate


def write_audio(path: Path, source: Path, span: Span) -> None:
    """The sound of a span of `source` as FLAC, atomically. Raises as `read_audio`."""
    import av

    samples, rate = read_audio(source, span)
    with atomic(path) as fresh, av.open(str(fresh), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout=layout_of(samples), format="s16")
        for frame in (*audio_frames(samples, rate), None):
            container.mux(stream.encode(frame))


def layout_of(samples: np.ndarray) -> str:
    return "mono" if len(samples) == 1 else "stereo"


def audio_frames(samples: np.ndarray, rate: int) -> Iterator["AudioFrame"]:
    """int16 (channels samples) -> frames for an encoder, which cuts them to its own size."""
    import av

    for start in range(0, samples.shape[1], rate):
        packed = np.ascontiguousarray(samples[:, start : start + rate].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout_of(samples))
        frame.sample_rate = rate
        frame.pts = start
        yield frame


def _pieces(
    container: "InputContainer", layout: str, start: float, length: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Decoded samples from `start` (seconds on the container's clock) on: where each piece lies, and int16 (c n)."""
    import av

    audio = container.streams.audio[0]
    rate = audio.codec_context.sample_rate
    resampler = av.AudioResampler("s16p", layout, rate)
    at: int | None = None
    for decoded in container.decode(audio):
        told = round(((decoded.time or 0.0) - start) * rate)
        at = told if at is None or abs(told - at) > GAP * rate else at
        if length is not None and at >= length:
            return
        for frame in resampler.resample(decoded):
            piece = frame.to_ndarray()[:, max(0, -at) :]
            if piece.shape[1]:
                yield max(0, at), piece
            at += frame.samples


def _first_picture(container: "InputContainer") -> float:
    """Seconds on the container's clock at which the first video frame is shown."""
    video = container.streams.best("video")
    if video is None or video.start_time is None or video.time_base is None:
        return 0.0
    return float(video.start_time * video.time_base)
