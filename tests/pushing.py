"""What the tests of live streams push, and how they read it back."""

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av

from tav.video.address import address
from tav.video.live import Pusher
from tav.video.pattern import read_number
from tav.video.streams import Stream

NEVER = threading.Event()
SMALL = Stream(128, 96, Fraction(20), 200_000)
"""As the test pattern, in less work."""


def pusher(to: str, stream: Stream = SMALL, *, reconnect: bool = False) -> tuple[Pusher, list[str]]:
    told: list[str] = []
    return Pusher(stream, address(to), reconnect=reconnect, tell=told.append), told


def wait_for(seen: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [read_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
