"""A live stream keeps its pace: what is late is left out, what takes nothing is given up, a signal ends it in order."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from pushing import NEVER, SMALL, numbers, pusher, wait_for

from tav.params import UserError
from tav.video import link, live
from tav.video.address import address
from tav.video.pattern import read_number
from tav.video.streams import Stream


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """What holds 64 KB, and then waits for its reader."""
    os.mkfifo(tmp_path / "out.ts")
    return tmp_path / "out.ts"


FAT = replace(SMALL, bit_rate=4_000_000)


def test_what_takes_nothing_for_a_while_is_caught_up_with(fifo: Path) -> None:
    """The clock goes on; frames that are too late are left out and counted."""
    kept = bytearray()

    def read() -> None:
        with fifo.open("rb") as pipe:
            time.sleep(3)
            kept.extend(pipe.read())

    reader = threading.Thread(target=read)
    reader.start()
    sending, _ = pusher(str(fifo), FAT)
    sending.run(NEVER, 100)
    reader.join(20)
    assert sending.sent + sending.dropped == 100
    assert 10 < sending.dropped < 60
    with av.open(io.BytesIO(kept), format="mpegts") as container:
        seen = [(f.time, read_number(f.to_ndarray(format="rgb24"))) for f in container.decode(video=0)]
    assert all((b - a) * 20 == pytest.approx(n - m, abs=0.01) for (a, m), (b, n) in pairwise(seen))
    assert max(n - m for (_, m), (_, n) in pairwise(seen)) == sending.dropped + 1  # one gap, and the end is in time
    assert seen[-1][1] == 99


def test_a_frame_that_is_left_out_is_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a machine that is too slow for the pace would never catch up, and send nothing."""
    drawn: list[int] = []

    class Told(Stream):
        def pictures(self, first: int = 0) -> Iterator[Callable[[], av.VideoFrame]]:
            for number, picture in enumerate(super().pictures(first), first):
                yield lambda number=number, picture=picture: drawn.append(number) or picture()  # type: ignore[misc]

    line, _ = multiprocessing.Pipe()
    for behind, seen in ((10.0, [0, 1, 2, 3, 4]), (-10.0, [])):
        monkeypatch.setattr(link, "BEHIND", behind)
        sender = link._Sender(Told(128, 96, Fraction(20), 200_000), address(str(tmp_path / "out.flv")), line)
        drawn.clear()
        sender.run(None, 5)
        assert drawn == seen
        assert (sender.tally.sent, sender.tally.dropped) == (len(seen), 5 - len(seen))


def test_a_process_that_starts_slowly_is_no_server_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine it takes long until its libraries are read."""
    monkeypatch.setattr(live, "STUCK", 2.0)
    monkeypatch.setattr(live, "send", starts_slowly)
    sending, _ = pusher(str(tmp_path / "out.flv"))
    sending.run(NEVER, 2)
    assert sending.sent + sending.dropped == 2
    monkeypatch.setattr(live, "STARTS", 0.5)
    with pytest.raises(UserError, match=r"did not start within 0\.5 s"):
        pusher(str(tmp_path / "out.flv"))[0].run(NEVER, 2)


def starts_slowly(*given: Any) -> None:
    """As `send`, in a process of its own."""
    time.sleep(3)
    link.send(*given)


def test_what_takes_nothing_any_more_is_given_up(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STUCK", 1.0)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(UserError, match="takes nothing any more"):
        pusher(str(fifo), FAT)[0].run(NEVER, 200)
    os.close(reader)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "tav", "push", "--test-pattern", str(tmp_path / "out.mp4")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ), cwd=tmp_path)
    assert running.stdout
    assert running.stdout.readline().startswith("pushing 640x480, 30 frames/s, 500 kbit/s, no sound to ")
    out = tmp_path / "out.mp4"
    wait_for(lambda: out.exists() and out.stat().st_size > 30_000)
    running.send_signal(number)
    assert running.stdout.read().splitlines()[-1].startswith("stopped: ")
    assert running.wait(20) == 0
    assert numbers(out)[:3] == [0, 1, 2]  # an MP4 without its end can't be read
