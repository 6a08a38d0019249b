"""`tav push`: an edited video, or a test pattern, sent live to a server."""

import signal
import threading
from pathlib import Path
from types import FrameType

from tav.artifacts import artifact
from tav.params import UserError, load
from tav.video.address import address
from tav.video.live import Pusher
from tav.video.streams import Stream, file_stream


def push(name: str | None, to: str, *, loop: bool, reconnect: bool, seconds: float | None) -> str:
    """Push an edit (None: the pattern) until its end, Ctrl-C or SIGTERM. Returns what was sent. Raises UserError."""
    where = address(to)
    stream = Stream() if name is None else file_stream(video_of(name), loop=loop)
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    print(f"pushing {summary(stream)} to {where.shown}. Ctrl-C ends it", flush=True)
    pusher = Pusher(stream, where, reconnect=reconnect, tell=lambda line: print(line, flush=True))
    pusher.run(stop, None if seconds is None else round(seconds * stream.fps))
    return f"{'stopped' if stop.is_set() else 'done'}: {pusher.sent} frames sent, {pusher.dropped} dropped"


def video_of(edit: str) -> Path:
    """Raises UserError: no such edit, or it is not made yet."""
    load().video_edit(edit)
    path = artifact("edit", edit, "video.mp4")
    if not path.exists():
        raise UserError(f"no {path}: run `dvc repro edit@{edit}` first")
    return path


def summary(stream: Stream) -> str:
    sound = f", sound at {stream.sound[1]} Hz" if stream.sound else ", no sound"
    return f"{stream.width}x{stream.height}, {float(stream.fps):.4g} frames/s, {stream.bit_rate // 1000} kbit/s{sound}"
