"""Which frames of a source are taken, and how fast they play."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import TypeVar

from tav.params import UserError


@dataclass(frozen=True)
class Span:
    """Seconds of the source, counted from its first frame."""

    start: float
    end: float


@dataclass(frozen=True)
class Picked:
    index: int
    time: float
    """When the source shows it, in seconds from its first frame."""


P = TypeVar("P", bound=Picked)


def pick_frames(
    shown: Iterable[P],
    source_fps: float,
    *,
    num_frames: int | None,
    start: float = 0.0,
    fps: float | None = None,
    stride: int | None = None,
) -> Iterator[P]:
    """The frames to take, in order. Fewer than `num_frames` where the source ends before; None takes all there are.

    shown: the source's frames from its first on, read once and only as far as needed.
    start: seconds; the first frame from it on, give or take half a frame, is the first.
    fps: frames a second to take: those shown nearest to start + k / fps, so a variable frame rate keeps its pace.
    stride: take every n-th frame from the first on. 1 when neither is given.
    Raises UserError when `fps` is more than the source has.
    """
    if fps is None:
        later = (frame for frame in shown if frame.time >= start - 0.5 / source_fps)
        step = stride or 1
        return islice(later, 0, None if num_frames is None else (num_frames - 1) * step + 1, step)
    if fps > source_fps * 1.01:  # 30 of 29.97 is fine
        raise UserError(f"fps {fps:g} is more than the video has ({source_fps:.4g}): give at most that, or a stride")
    wanted = (start + k / fps for k in (count() if num_frames is None else range(num_frames)))
    return _nearest(iter(shown), wanted, tail=0.5 / source_fps)


def _nearest(shown: Iterator[P], wanted: Iterable[float], tail: float) -> Iterator[P]:
    """For each wanted time the frame nearest to it, the earlier of two. One walk along both.

    The last frame still counts for `tail` seconds after it was shown.
    """
    this = following = next(shown, None)
    for time in wanted:
        while following and following.time <= time:
            this, following = following, next(shown, None)
        if not this or (not following and time > this.time + tail + 1e-6):
            return
        # Matroska rounds times to the millisecond: of two frames that near, the earlier is meant.
        yield following if following and following.time - time < time - this.time - 1e-3 else this


def cadence(
    picked: Sequence[Picked], source_fps: float, *, fps: float | None = None, stride: int | None = None
) -> float:
    """Frames a second at which the picked frames play as fast as the source did.

    With a stride over a variable frame rate it is the mean rate of what was picked.
    """
    nominal = fps or source_fps / (stride or 1)
    if fps or len(picked) < 2:
        return nominal
    measured = (len(picked) - 1) / (picked[-1].time - picked[0].time)
    return nominal if abs(measured / nominal - 1) < 0.01 else measured
