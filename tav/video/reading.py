"""Read videos: files through PyAV or decord, folders of images through Pillow.

All read in order from frame 0: seeking, and decord's skipping too, gives wrong frames in open-GOP streams.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from tav.params import Reader, UserError
from tav.video.by_decord import by_decord, checked
from tav.video.container import decode, demux, open_video
from tav.video.images import common_size, image_files, read_image
from tav.video.interlace import deinterlaced
from tav.video.picking import Picked
from tav.video.shown import as_shown, display_matrix, is_mirrored, rotation
from tav.video.sound import sound_stream

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
    times: Literal["told", "counted"]
    """Whether the file tells when each frame is shown. If not, as in raw streams, they follow at the mean rate."""


@dataclass(frozen=True)
class Shown(Picked):
    """A frame of a source, not yet a picture."""

    picture: Callable[[], np.ndarray]
    """uint8 (h w 3), RGB, as a player shows it."""


def probe(path: Path, image_fps: float = IMAGE_FPS) -> VideoInfo:
    """What a video is. Reads all packets of a file, to tell whether it is whole, and decodes one frame.

    image_fps: the rate of a folder of images.
    Raises UserError: no such file, not a video, no images, empty, cut.
    """
    if path.is_dir():
        files = image_files(path)
        width, height = common_size(files)
        return VideoInfo(image_fps, width, height, len(files), len(files) / image_fps, False, 0, False, "counted")
    packets = demux(path)
    with open_video(path) as (container, stream):
        frame = next(decode(path, container, stream), None)
        if frame is None:
            raise UserError(f"{path} has no frame that can be decoded: it is cut or damaged")
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
            times="told" if packets.told else "counted",
        )


def shown_frames(path: Path, info: VideoInfo, reader: Reader = "av") -> Iterator[Shown]:
    """Every frame in order, with its time. Decodes once and as it goes, so it finds damage on its way.

    info: what `probe` told. reader: decord gives the pictures, each of which is compared with PyAV's when it is taken.
    Raises UserError when a frame is damaged, and where decord is not here or reads otherwise.
    """
    if path.is_dir():
        yield from (Shown(i, i / info.fps, partial(read_image, file)) for i, file in enumerate(image_files(path)))
        return
    other = by_decord(path) if reader == "decord" else None
    with open_video(path) as (container, stream):
        first = None
        for i, frame in enumerate(deinterlaced(decode(path, container, stream), stream)):
            time = frame.time if info.times == "told" and frame.time is not None else i / info.fps
            first = time if first is None else first
            picture = partial(as_shown, frame, stream)
            yield Shown(i, time - first, partial(checked, path, i, picture, next(other, None)) if other else picture)


def frame_times(path: Path, image_fps: float = IMAGE_FPS) -> Iterator[float]:
    """When each frame is shown, in seconds from the first one. Raises UserError when a frame is damaged."""
    return (shown.time for shown in shown_frames(path, probe(path, image_fps)))


def read_frames(path: Path, indices: Sequence[int], reader: Reader = "av") -> np.ndarray:
    """The frames of these indices, ascending; one that comes twice is given twice: uint8 (f h w 3), RGB.

    Raises UserError when the video ends before or is damaged, and ValueError for wrong indices.
    """
    if not indices or list(indices) != sorted(indices) or indices[0] < 0:
        raise ValueError(f"indices must ascend from 0 on, got {list(indices)}")
    frames: list[np.ndarray] = []
    for shown in islice(shown_frames(path, probe(path), reader), indices[-1] + 1):
        if repeats := indices.count(shown.index):
            frames += [shown.picture()] * repeats
    if len(frames) < len(indices):
        raise UserError(
            f"{path} ends before frame {indices[len(frames)]} (counted from 0): take fewer frames, or start sooner"
        )
    return np.stack(frames)
