"""Read videos: files through decord or PyAV, folders of images through Pillow.

decord reads what a trial showed it to read exactly as PyAV does; all else is PyAV's. Both read in order from frame 0:
seeking, and decord's skipping too, gives wrong frames in open-GOP streams.
"""

import importlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from tav.params import UserError
from tav.video.container import decode, demux, open_video
from tav.video.images import common_size, image_files, read_image
from tav.video.shown import as_shown, display_matrix, is_mirrored, rotation
from tav.video.sound import sound_stream

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

IMAGE_FPS = 8.0  # a folder of images has no rate of its own; the official code writes its videos at this one


@dataclass(frozen=True)
class VideoInfo:
    fps: float
    """Mean rate, frames a second."""
    width: int
    """Pixels as shown: turned by the rotation in the metadata, and square."""
    height: int
    num_frames: int | None
    """As its packets tell."""
    duration: float | None
    """Seconds."""
    has_audio: bool
    rotation: int
    """Degrees counter-clockwise that the frames were turned by: 0, 90, 180 or 270."""
    mirrored: bool
    """Whether left and right were then changed over."""
    reader: Literal["decord", "pyav", "images"]


def probe(path: Path, image_fps: float = IMAGE_FPS) -> VideoInfo:
    """What a video is. Reads all packets of a file, to tell whether it is whole, and decodes one frame.

    image_fps: the rate of a folder of images.
    Raises UserError: no such file, not a video, no images, empty, cut.
    """
    if path.is_dir():
        files = image_files(path)
        width, height = common_size(files)
        return VideoInfo(image_fps, width, height, len(files), len(files) / image_fps, False, 0, False, "images")
    packets = demux(path)
    with open_video(path) as (container, stream):
        frame = next(decode(path, container, stream), None)
        if frame is None:
            raise UserError(f"{path} has no frame that can be decoded: it is cut or damaged")
        with_decord = packets.all_shown and _decord_is_exact(container, stream, frame)
        matrix = display_matrix(frame)
        height, width, _ = as_shown(frame, stream).shape
        return VideoInfo(
            fps=packets.fps,
            width=width,
            height=height,
            num_frames=packets.num_frames,
            duration=packets.duration,
            has_audio=sound_stream(path, container) is not None,
            rotation=rotation(matrix),
            mirrored=is_mirrored(matrix),
            reader="decord" if with_decord else "pyav",
        )


def frame_times(path: Path, image_fps: float = IMAGE_FPS) -> Iterator[float]:
    """When each frame is shown, in seconds from the first one. Decodes as it goes, so it finds damage on its way.

    Raises UserError when a frame is damaged.
    """
    if path.is_dir():
        yield from (i / image_fps for i in range(len(image_files(path))))
        return
    with open_video(path) as (container, stream):
        first = None
        for i, frame in enumerate(decode(path, container, stream)):
            time = i / float(stream.average_rate or 25) if frame.time is None else frame.time  # raw streams have none
            first = time if first is None else first
            yield time - first


def read_frames(path: Path, indices: Sequence[int]) -> np.ndarray:
    """The frames of these indices: uint8 (f h w 3), RGB.

    Raises UserError for a damaged video, and as `iter_frames`.
    """
    for _ in islice(frame_times(path), max(indices, default=0) + 1):
        pass
    return np.stack(list(iter_frames(path, indices)))


def iter_frames(path: Path, indices: Sequence[int], reader: str | None = None) -> Iterator[np.ndarray]:
    """The same one by one, uint8 (h w 3), so that few are in memory at a time.

    indices: ascending; one that comes twice is given twice. reader: as `probe` tells, when it has been asked already.
    decord hides damage (it told of 7 in 40 damaged files): walk along `frame_times` first.
    Raises UserError when the video ends before, and ValueError for wrong indices.
    """
    if not indices or list(indices) != sorted(indices) or indices[0] < 0:
        raise ValueError(f"indices must ascend from 0 on, got {list(indices)}")
    read = {"images": _read_images, "decord": _read_by_decord, "pyav": _read_by_pyav}[reader or probe(path).reader]
    repeats = Counter(indices)
    found = 0
    for frame, repeat in zip(read(path, sorted(repeats)), repeats.values(), strict=False):
        found += repeat
        for _ in range(repeat):
            yield frame
    if found < len(indices):
        raise UserError(
            f"{path} ends before frame {indices[found]} (counted from 0): take fewer frames, or start sooner"
        )


def _read_images(path: Path, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    files = image_files(path)
    return (read_image(files[i]) for i in wanted if i < len(files))


def _read_by_decord(path: Path, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    importlib.import_module("PIL._imagingft")  # before decord, whose libraries take the place of its own: no emoji then
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    video = decord.VideoReader(str(path.absolute()), num_threads=1)
    for i in range(min(wanted[-1] + 1, len(video))):
        frame = video.next()
        if i in wanted:
            yield frame.asnumpy()


def _read_by_pyav(path: Path, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    with open_video(path) as (container, stream):
        for i, frame in enumerate(decode(path, container, stream)):
            if i in wanted:
                yield as_shown(frame, stream)
            if i == wanted[-1]:
                return


def _decord_is_exact(container: "InputContainer", stream: "VideoStream", frame: "VideoFrame") -> bool:
    """Whether decord is here and reads this as PyAV does. Tests compare the two.

    It is wrong in MPEG-TS, for 10 bits, odd sides, interlaced pictures, and where a side is 12, 16, 24, 48 or 72
    pixels; it can't read AV1, GIF or raw streams; it counts what an edit list hides, and leaves pixels unsquare.
    """
    return (
        find_spec("decord") is not None
        and container.format.name in ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
        and stream.codec_context.name in ("h264", "hevc", "vp8", "vp9", "libvpx-vp9")
        and frame.format.name in ("yuv420p", "yuvj420p")
        and frame.width % 2 == frame.height % 2 == 0
        and min(frame.width, frame.height) >= 96
        and not frame.interlaced_frame
        and not is_mirrored(display_matrix(frame))
        and (stream.sample_aspect_ratio or 1) == 1
    )
