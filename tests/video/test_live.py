"""A live stream, pushed to a real RTMP server and read back."""

import io
import multiprocessing
import os
import re
import signal
import socket
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
import numpy as np
import pytest
from make_video import make_video, moving_frames, nearest
from nginx_rtmp import MISSING, Nginx, free_port

from tav.params import UserError
from tav.video import link, live
from tav.video.address import address
from tav.video.live import Pusher
from tav.video.pattern import read_number
from tav.video.streams import Stream, file_stream

NEVER = threading.Event()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    if MISSING:
        pytest.skip(MISSING)
    nginx = Nginx(tmp_path_factory.mktemp("nginx"))
    yield nginx
    nginx.stop()


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


def test_the_pattern_as_it_was_asked_for(server: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    sending, told = pusher(f"{server.url}/live/asked", Stream())
    monkeypatch.setattr(live, "TELL_EVERY", 1.0)
    sending.run(NEVER, 75)
    assert (sending.sent, sending.dropped) == (75, 0)
    found = re.fullmatch(r"([\d.]+) frames/s, (\d+) kbit/s, (\d+) frames sent, 0 dropped, (\d+) ms behind", told[-1])
    assert found
    assert float(found[1]) == pytest.approx(30, rel=0.2)
    assert float(found[2]) == pytest.approx(500, rel=0.4)
    (kept,) = (path for path in server.received() if path.name.startswith("asked"))
    with av.open(str(kept)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.width, video.height, video.pix_fmt) == ("h264", 640, 480, "yuv420p")
        assert video.codec_context.has_b_frames <= 1
        assert video.codec_context.extradata
        packets = [packet for packet in container.demux(video) if packet.size]
        times = [float(packet.dts * packet.time_base) for packet in packets]
        assert times[0] == 0
        assert all(a < b for a, b in pairwise(times))
        assert times[-1] * 30 / 74 == pytest.approx(1, rel=0.02)
        assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == [0, 60]
        bits = 8 * sum(packet.size for packet in packets) / 2.5
        assert bits == pytest.approx(500_000, rel=0.15)
    assert numbers(kept) == list(range(75))


def test_a_video_with_its_sound_goes_round(server: Nginx, tmp_path: Path) -> None:
    frames = moving_frames(12)
    stream = file_stream(make_video(tmp_path / "v.mp4", frames, tone=0.4), loop=True)
    pusher(f"{server.url}/live/round", stream)[0].run(NEVER, 30)
    (kept,) = (path for path in server.received() if path.name.startswith("round"))
    with av.open(str(kept)) as container:
        pictures, voices = [], []
        for frame in container.decode(video=0, audio=0):
            (pictures if isinstance(frame, av.VideoFrame) else voices).append(frame)
    assert nearest(np.stack([p.to_ndarray(format="rgb24") for p in pictures]), frames) == [i % 12 for i in range(30)]
    assert all(a.time < b.time for a, b in pairwise(voices))
    assert sum(voice.samples for voice in voices) / voices[0].sample_rate == pytest.approx(1.0, abs=0.08)
    loud = np.abs(np.concatenate([voice.to_ndarray()[0] for voice in voices])) > 0.05
    assert 0.4 < loud.mean() < 0.7  # silent in odd tenths of a second, also after it began again


def test_a_server_that_is_killed_and_started_again(server: Nginx) -> None:
    sending, told = pusher(f"{server.url}/live/again", reconnect=True)
    stop = threading.Event()
    thread = threading.Thread(target=sending.run, args=(stop,))
    thread.start()
    wait_for(lambda: sending.now.sent > 20)
    server.stop()
    wait_for(lambda: any("Trying again" in line for line in told))
    server.start()
    wait_for(lambda: sending.before.sent > 20 and sending.now.sent > 20)
    stop.set()
    thread.join(20)
    lost = next(line for line in told if "Trying again" in line)
    assert re.fullmatch(r"rtmp://127.0.0.1:\d+/live/… went away \(.*\)\. Trying again in 1 s", lost)
    kept = [path for path in server.received() if path.name.startswith("again")]
    before, after = numbers(kept[0]), numbers(kept[-1])
    assert before == list(range(len(before)))
    assert after == list(range(after[0], after[0] + len(after)))
    assert after[0] - len(before) >= 15  # a second and more has gone by, and its pictures with it
    with av.open(str(kept[-1])) as container:
        assert next(packet.pts for packet in container.demux(video=0)) == 0


@pytest.mark.parametrize(
    ("path", "said"), [("closed/key", "refuse the key"), ("nowhere/key", "refuses the application or the key")]
)
def test_a_server_that_refuses(server: Nginx, path: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        pusher(f"{server.url}/{path}")[0].run(NEVER, 40)
    assert "/key" not in str(error.value)  # it is a secret


def test_a_key_in_use(server: Nginx) -> None:
    first, stop = pusher(f"{server.url}/live/taken")[0], threading.Event()
    thread = threading.Thread(target=first.run, args=(stop,))
    thread.start()
    wait_for(lambda: first.sent)
    with pytest.raises(UserError, match="is the key in use"):
        pusher(f"{server.url}/live/taken")[0].run(NEVER, 40)
    stop.set()
    thread.join(20)


class Fake:
    """A server that takes a connection and answers with some bytes, or not at all."""

    def __init__(self, answer: bytes) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.answer = self.socket.getsockname()[1], answer
        self.held: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            line, _ = self.socket.accept()
            line.sendall(self.answer)
            self.held.append(line)


def test_what_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tav.video.address.PATIENCE", 0.3)
    monkeypatch.setattr(live, "STUCK", 3.0)
    cases = {
        f"127.0.0.1:{free_port()}": "connection refused",
        "no-such-host.invalid:1935": "no host 'no-such-host.invalid' is known",
        f"127.0.0.1:{Fake(b'').port}": "does not answer within 0.3 s",
        f"127.0.0.1:{Fake(b'HTTP/1.1 400').port}": "does not speak RTMP",
        f"127.0.0.1:{Fake(bytes([3])).port}": "takes nothing any more",  # it greets, and that is all
    }
    for where, said in cases.items():
        with pytest.raises(UserError, match=said):
            pusher(f"rtmp://{where}/live/key")[0].run(NEVER, 40)


def watched(to: str, sending: Pusher, **how: Any) -> list[int]:
    """The numbers that a viewer sees who joins while it is pushed; the push ends when he has seen some."""
    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        try:
            with av.open(to, timeout=(20, 20), **how) as container:
                for frame in container.decode(video=0):
                    assert seen or frame.key_frame
                    seen.append(read_number(frame.to_ndarray(format="rgb24")))
                    if len(seen) == 5:
                        return
        finally:
            stop.set()

    thread = threading.Thread(target=sending.run, args=(stop,))
    thread.start()
    wait_for(lambda: sending.sent > 2)
    watch()
    thread.join(20)
    return seen


def test_who_joins_late_begins_at_a_key_frame(server: Nginx) -> None:
    options = {"analyzeduration": "0", "probesize": "32768", "fflags": "nobuffer"}
    seen = watched(f"{server.url}/live/late", pusher(f"{server.url}/live/late")[0], options=options)
    assert seen[0] > 0
    assert all(a < b for a, b in pairwise(seen))  # a busy machine drops some


def test_by_udp(tmp_path: Path) -> None:
    to = f"udp://127.0.0.1:{free_port()}"
    seen = watched(to, pusher(to)[0], format="mpegts")
    assert [b - a for a, b in pairwise(seen)] == [1] * 4


def test_to_a_file_and_not_by_srt(tmp_path: Path) -> None:
    pusher(str(tmp_path / "out.flv"))[0].run(NEVER, 10)
    assert numbers(tmp_path / "out.flv") == list(range(10))
    with pytest.raises(UserError, match=r"this PyAV can't send by srt|can't send to srt://127\.0\.0\.1:9000"):
        pusher("srt://127.0.0.1:9000")[0].run(NEVER, 10)


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
