"""The sound of a video: taken out for a span, and put beside the edited frames."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tav.artifacts import atomic
from tav.params import UserError
from tav.video.opening import open_media
from tav.video.picking import Span

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler
    from av.audio.stream import AudioStream
    from av.container import InputContainer

GAP = 0.1  # seconds; smaller differences of time stamps are rounding, as Matroska's to the millisecond
RATES = (1_000, 768_000)
"""Hz. What lies outside is no sound: a broken header, or one made to take the memory."""
RESAMPLED = 48_000
"""Hz, for sound at a rate that AAC has not."""


def read_audio(path: Path, span: Span | None = None) -> tuple[np.ndarray, int]:
    """The samples of a span, int16 (channels samples), mono or stereo, and their rate in Hz.

    The span counts from the first video frame. Where the file has no sound it is silent, so the length is that of
    the span to the sample. Without a span: all of it. The rate is the file's where AAC has it, else 48 kHz.
    Raises UserError when it can't be decoded.
    """
    import av

    try:
        with open_media(path) as container:
            audio = sound_stream(path, container)
            if audio is None:
                raise UserError(f"the sound of {path} can't be read: no track of it can be decoded, convert one first")
            rate = _kept_rate(audio)
            layout = "mono" if audio.codec_context.channels == 1 else "stereo"
            start = _first_picture(container) + (span.start if span else 0.0)
            length = round((span.end - span.start) * rate) if span else None
            pieces = list(_pieces(container, audio, av.AudioResampler("s16p", layout, rate), start, length))
    except (av.FFmpegError, ValueError) as error:
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


def sound_stream(path: Path, container: "InputContainer") -> "AudioStream | None":
    """The track that players play: of those that can be decoded the default one, else the first. None: there is none.

    Raises UserError when its rate is none of sound.
    """
    import av

    tracks = [track for track in container.streams.audio if track.codec_context is not None]
    default = av.stream.Disposition.default
    track = min(tracks, key=lambda track: not track.disposition & default, default=None)
    if track and not RATES[0] <= track.codec_context.sample_rate <= RATES[1]:
        raise UserError(
            f"the sound of {path} has {track.codec_context.sample_rate} samples a second, {RATES[0]} to {RATES[1]} "
            "are read: convert it, or take it out of the video"
        )
    return track


def _kept_rate(audio: "AudioStream") -> int:
    """The rate in Hz at which the sound goes on."""
    import av

    rate = audio.codec_context.sample_rate
    return rate if rate in (av.Codec("aac", "w").audio_rates or ()) else RESAMPLED


def _pieces(
    container: "InputContainer", audio: "AudioStream", resampler: "AudioResampler", start: float, length: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Decoded samples from `start` (seconds on the container's clock) on: where each piece lies, and int16 (c n)."""
    at: int | None = None
    for decoded in chain(container.decode(audio), (None,)):
        if decoded:
            stamp = round(((decoded.time or 0.0) - start) * resampler.rate)
            at = stamp if at is None or abs(stamp - at) > GAP * resampler.rate else at
        if at is None or (length is not None and at >= length):
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
