"""Video files through PyAV: opened, decoded in order, and found out when they are cut or damaged."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tav.params import UserError
from tav.video.opening import open_media

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream


WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@dataclass(frozen=True)
class Packets:
    """What the packets of a whole file tell of its pictures."""

    num_frames: int
    duration: float | None
    """Seconds, from the first frame shown to the end of the last. None: a raw stream, which has no times."""
    fps: float
    """Mean rate: what the header says, where the packets agree within 1 %."""
    told: bool
    """Whether the file tells when each picture is shown."""


@contextmanager
def open_video(path: Path) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    """A video file and its picture stream. Raises UserError: no such file, empty, not a video, no pictures."""
    import av

    with open_media(path) as container:
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            raise UserError(f"{path} has no video stream, only {_kinds(container)}")
        stream = container.streams.best("video")
        stream = stream if stream in streams else streams[0]
        if stream.codec_context is None:
            raise UserError(f"{path}: there is no decoder for its video stream: convert it to H.264 first")
        # Frame threads find damage that slice threads hide: 37 of 40 damaged H.264 files against 8.
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"err_detect": "explode"}
        yield container, stream


def decode(path: Path, container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame"]:
    """The frames in order. Raises UserError at the first damage that the decoder can tell."""
    import av

    time, decoder = 0.0, _decoder(stream)
    try:
        for packet in container.demux(stream):
            frames = decoder.decode(packet)
            if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                raise UserError(_damaged(path, time, "bytes are missing"))
            for frame in frames:
                time = frame.time or 0.0
                yield frame
    except av.FFmpegError as error:
        raise UserError(_damaged(path, time, error.strerror)) from None


def _decoder(stream: "VideoStream") -> "VideoCodecContext":
    """The stream's own; for transparent VP8 and VP9 libvpx, for FFmpeg's own decoders lose what is transparent."""
    import av

    settings = stream.codec_context
    metadata = {key.lower(): value for key, value in stream.metadata.items()}  # FFmpeg writes it large and small
    if metadata.get("alpha_mode") != "1" or settings.name not in WITH_ALPHA:
        return settings
    decoder: VideoCodecContext = av.CodecContext.create(WITH_ALPHA[settings.name], "r")
    decoder.extradata = settings.extradata
    return decoder


def demux(path: Path) -> Packets:
    """Read every packet, decode none. Raises UserError when the file is cut: less is there than its header says."""
    with open_video(path) as (container, stream):
        packets, whole = _walk(container, stream)
        whole = whole and not _lacks_trailer(path, container)
        pictures = sorted(p.time for p in packets if p.is_picture and p.is_shown)
        nominal = float(stream.average_rate or stream.guessed_rate or 25)
        there = max((p.end for p in packets if p.end == p.end), default=0.0)
        promised = (container.duration or 0) / 1e6
        if not whole or promised - there > max(0.3, 2.5 / nominal):
            promise = f", its header tells of {promised:.2f} s" if promised - there > 0.01 else ""
            raise UserError(
                f"{path} is cut short: {there:.2f} s are there{promise}. "
                "Copy or download it again, or save what is there as a new video"
            )
        reordered = any(p.is_picture and p.is_reordered for p in packets)
        if container.format.name == "avi" and reordered:  # its guessed times jump
            return Packets(len(pictures), len(pictures) / nominal, nominal, False)
        if len(pictures) < 2 or pictures[0] != pictures[0]:
            return Packets(len(pictures), None, nominal, False)
        measured = (len(pictures) - 1) / (pictures[-1] - pictures[0])
        fps = nominal if abs(measured / nominal - 1) < 0.01 else measured
        return Packets(len(pictures), pictures[-1] - pictures[0] + 1 / fps, fps, True)


class _Packet(NamedTuple):
    time: float
    """Seconds; NaN where the stream has none."""
    end: float
    is_picture: bool
    is_shown: bool
    is_reordered: bool
    """Whether it is shown at another time than it is decoded. AVI has the latter only, the former is guessed."""


def _walk(container: "InputContainer", stream: "VideoStream") -> tuple[list[_Packet], bool]:
    """Every packet of the file, and whether its end was reached in good order."""
    import av

    packets = []
    is_cut = False
    try:
        for packet in container.demux():
            if packet.size:
                time = math.nan if packet.pts is None else float(packet.pts * packet.time_base)
                end = time + float((packet.duration or 0) * packet.time_base)
                moved = packet.pts != packet.dts
                packets.append(_Packet(time, end, packet.stream == stream, not packet.is_discard, moved))
                is_cut = packet.is_corrupt
    except av.FFmpegError:
        is_cut = True
    return packets, not is_cut


def _lacks_trailer(path: Path, container: "InputContainer") -> bool:
    """A GIF has no duration in its header, but a last byte."""
    return container.format.name == "gif" and path.read_bytes()[-1:] != b";"


def _damaged(path: Path, time: float, why: str) -> str:
    return f"{path} is damaged near {time:.2f} s ({why}): copy or download it again, or repair it with ffmpeg first"


def _kinds(container: "InputContainer") -> str:
    return ", ".join(sorted({s.type for s in container.streams})) or "nothing"
