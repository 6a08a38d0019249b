from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.params import UserError
from tav.video import Picked, cadence, pick_frames

NTSC = 30000 / 1001


def constant(num_frames: int, fps: float) -> list[float]:
    return [i / fps for i in range(num_frames)]


def picked(times: Iterable[float], *args: object, **kwargs: object) -> list[Picked]:
    shown = (Picked(index, time) for index, time in enumerate(times))
    return list(pick_frames(shown, *args, **kwargs))  # type: ignore[arg-type]


def indices(*args: object, **kwargs: object) -> list[int]:
    return [frame.index for frame in picked(*args, **kwargs)]  # type: ignore[arg-type]


def test_stride() -> None:
    times = constant(91, NTSC)
    assert indices(times, NTSC, num_frames=4, stride=3) == [0, 3, 6, 9]
    assert indices(times, NTSC, num_frames=3) == [0, 1, 2]
    assert indices(times, NTSC, num_frames=2, start=1.0, stride=10) == [30, 40]
    assert indices(times, NTSC, num_frames=1, start=1.01) == [30]  # shown at 1.001 s, and the nearest
    assert indices(times, NTSC, num_frames=24, stride=4) == list(range(0, 91, 4))  # 23: one too few


def test_all_from_the_start_on() -> None:
    assert indices(constant(10, 25), 25, num_frames=None) == list(range(10))
    assert indices(constant(10, 25), 25, num_frames=None, start=0.08, stride=3) == [2, 5, 8]
    assert indices(constant(50, 25), 25, num_frames=None, start=1.0, fps=5) == [25, 30, 35, 40, 45]


def test_reads_no_more_times_than_needed() -> None:
    def endless():
        i = 0
        while True:
            yield i / 25
            i += 1

    assert indices(endless(), 25, num_frames=3, stride=5) == [0, 5, 10]
    assert indices(endless(), 25, num_frames=3, fps=5) == [0, 5, 10]


def test_fps_takes_the_nearest_frame_in_time() -> None:
    assert indices(constant(91, 30), 30, num_frames=5, fps=8) == [0, 4, 7, 11, 15]  # 3.75 frames apart; ties: earlier
    variable = [0.0, 0.05, 0.1, 0.5, 0.55, 1.0, 1.05]
    assert indices(variable, 7, num_frames=5, fps=4) == [0, 2, 3, 4, 5]


def test_times_rounded_to_the_millisecond_change_nothing() -> None:
    exact = constant(90, NTSC)
    rounded = [round(t, 3) for t in exact]
    for fps in (NTSC, NTSC / 2, NTSC / 3, 8, 5):
        assert indices(rounded, NTSC, num_frames=14, fps=fps) == indices(exact, NTSC, num_frames=14, fps=fps)


def test_full_rate_takes_every_frame_up_to_the_last() -> None:
    assert indices(constant(10, NTSC), NTSC, num_frames=10, fps=NTSC) == list(range(10))
    assert indices(constant(10, NTSC), NTSC, num_frames=11, fps=NTSC) == list(range(10))


def test_more_than_there_is() -> None:
    assert indices(constant(10, 10), 10, num_frames=5, start=9, stride=1) == []
    assert indices(constant(10, 10), 10, num_frames=5, start=9, fps=5) == []
    assert indices([], 10, num_frames=5, fps=5) == []
    with pytest.raises(UserError, match=r"fps 60 is more than the video has \(29\.97\)"):
        picked(constant(90, NTSC), NTSC, num_frames=2, fps=60)


@given(
    gaps=st.lists(st.floats(0.01, 0.5), min_size=2, max_size=40),
    num_frames=st.integers(1, 12),
    fps=st.floats(0.5, 8),
    start=st.floats(0, 3),
)
def test_every_picked_frame_is_the_nearest(gaps: list[float], num_frames: int, fps: float, start: float) -> None:
    times = [sum(gaps[:i]) for i in range(len(gaps))]
    for k, frame in enumerate(picked(times, 100.0, num_frames=num_frames, fps=fps, start=start)):
        wanted = start + k / fps
        assert abs(frame.time - wanted) <= min(abs(t - wanted) for t in times) + 1.1e-3
        assert times[frame.index] == frame.time


def test_cadence() -> None:
    times = [round(t, 3) for t in constant(91, NTSC)]
    by_stride = picked(times, NTSC, num_frames=8, stride=4)
    assert cadence(by_stride, NTSC, stride=4) == NTSC / 4  # not the rate of rounded times
    assert cadence(by_stride[:1], NTSC, stride=4) == NTSC / 4
    assert cadence(picked(times, NTSC, num_frames=8, fps=8), NTSC, fps=8) == 8
    slow_start = picked([0, 1, 2, 2.1, 2.2], 2.3, num_frames=3)
    assert cadence(slow_start, 2.3) == 1.0
