"""What can be pushed live: a video file, as it is played, and the test pattern. Plain data, for another process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tav.video.opening import open_media
from tav.video.pattern import pattern_of
from tav.video.reading import probe
from tav.video.sound import read_audio

if TYPE_CHECKING:
    from av import VideoFrame

BITS_A_PIXEL = 0.1
LEAST, MOST = 500_000, 8_000_000
"""Bits a second."""


@dataclass(frozen=True)
class Stream:
    """The test pattern, or a file."""

    width: int = 640
    height: int = 480
    fps: Fraction = Fraction(30)
    bit_rate: int = 500_000
    """Bits a second, of the pictures: always so many, as servers plan for."""
    file: Path | None = None
    """None: the test pattern, without end and without sound."""
    num_frames: int = 0
    """Of the file."""
    loop: bool = False
    sound: tuple[np.ndarray, int] | None = None
    """int16 (channels samples), as long as the pictures once through, and its rate in Hz. Goes round with them."""

    def pictures(self, first: int = 0) -> "Iterator[Callable[[], VideoFrame]]":
        """From frame `first` on; each gives its picture in yuv420p, if it is asked for it, and one that is late is not.

        The pictures' own time stamps don't count.
        """
        if self.file is None:
            draw = pattern_of(self.width, self.height, round(self.fps))
            yield from (partial(_drawn, draw, number) for number in count(first))
        skipped = first % max(1, self.num_frames) if self.loop else first
        while self.file:
            with open_media(self.file) as container:
                for picture in islice(container.decode(video=0), skipped, None):
                    yield partial(picture.reformat, self.width, self.height, "yuv420p")
            if not self.loop:
                return
            skipped = 0

    def heard(self, number: int) -> np.ndarray | None:
        """The samples while a frame is shown: int16 (channels samples)."""
        if self.sound is None:
            return None
        samples, rate = self.sound
        start, stop = (round(n * rate / self.fps) for n in (number, number + 1))
        return samples.take(range(start, stop), axis=1, mode="wrap")


def _drawn(draw: Callable[[int], np.ndarray], number: int) -> "VideoFrame":
    import av

    return av.VideoFrame.from_ndarray(draw(number), format="rgb24").reformat(format="yuv420p")


def file_stream(path: Path, *, loop: bool) -> Stream:
    """A video with its sound, once or for ever. Its bit rate goes by its size and rate. Raises UserError."""
    info = probe(path)
    width, height = info.width - info.width % 2, info.height - info.height % 2  # yuv420p has no odd sides
    fps, num_frames = Fraction(info.fps).limit_denominator(100_000), info.num_frames or 0
    bit_rate = round(min(MOST, max(LEAST, BITS_A_PIXEL * width * height * info.fps)))
    sound = None
    if info.has_audio:
        samples, rate = read_audio(path)
        sound = _as_long(samples, round(num_frames * rate / fps)), rate
    return Stream(width, height, fps, bit_rate, path, num_frames, loop, sound)


def _as_long(samples: np.ndarray, length: int) -> np.ndarray:
    """int16 (channels samples), cut to a length or with silence behind."""
    return np.pad(samples[:, :length], ((0, 0), (0, max(0, length - samples.shape[1]))))
