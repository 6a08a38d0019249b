"""A live stream, pushed to a real RTMP server and read back."""

import re
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from make_video import make_video, moving_frames, nearest
from nginx_rtmp import MISSING, Nginx, free_port
from pushing import NEVER, numbers, pusher, wait_for

from tav.params import UserError
from tav.video import live
from tav.video.live import Pusher
from tav.video.pattern import read_number
from tav.video.streams import Stream, file_stream


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    if MISSING:
        pytest.skip(MISSING)
    nginx = Nginx(tmp_path_factory.mktemp("nginx"))
    yield nginx
    nginx.stop()


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
