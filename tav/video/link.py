"""One connection of a live stream: encodes and sends at the pace of the clock, in a process of its own.

PyAV holds Python's lock while FFmpeg waits for a server, and no option makes it give up. So the process that a person
started only looks on (tav.video.live), and kills this one when nothing moves any more.
"""

import math
import signal
import time
from contextlib import suppress
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from tav.video.address import Address
from tav.video.sound import audio_frames, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    import numpy as np
    from av import VideoFrame

    from tav.video.streams import Stream

BEHIND = 1.0
"""Seconds: a frame that is later is dropped, so that the stream catches up with the clock."""
KEY_EVERY = 2
"""Seconds between two key frames: who joins sees a picture within them."""
SOON = 0.5
"""Seconds of frames within which a server that closes the line has refused them."""


class Ready(NamedTuple):
    """The process runs, and will connect now."""


class Began(NamedTuple):
    """Connected."""

    at: float
    """When frame 0 was due: seconds of the machine's clock (`time.monotonic`)."""


class Tally(NamedTuple):
    """How it goes, after each frame."""

    sent: int = 0
    dropped: int = 0
    bytes: int = 0
    lag: float = 0.0
    """Seconds that the newest frame was late when it was sent."""


class Ended(NamedTuple):
    problem: str | None
    """In one line. None: all was sent, or it was told to stop."""


def send(stream: "Stream", to: Address, line: "Connection", began: float | None, until: float) -> None:
    """Send a stream from the frame that is due until frame `until`, or until anything comes (or ends) on `line`.

    Tells of it on `line`: Ready, Began, a Tally a frame, Ended.

    began: when frame 0 was due. None: it is when connected.
    """
    import av

    for number in (signal.SIGINT, signal.SIGTERM):  # they are for who looks on, and hears of it on the line
        signal.signal(number, signal.SIG_IGN)
    sender = _Sender(stream, to, line)
    line.send(Ready())
    try:
        sender.run(began, until)
        problem = None
    except (av.FFmpegError, OSError) as error:
        problem = sender.reason_of(error)
    with suppress(OSError):  # nobody looks on any more
        line.send(Ended(problem))


class _Sender:
    def __init__(self, stream: "Stream", to: Address, line: "Connection") -> None:
        self.stream, self.to, self.line = stream, to, line
        self.tally = Tally()
        self.is_open = False

    def run(self, began: float | None, until: float) -> None:
        import av

        options = {"flvflags": "no_duration_filesize"} if self.to.format == "flv" else {}
        with av.open(self.to.url, "w", format=self.to.format, options=options) as out:
            encoders = _Encoders(out, self.stream)
            out.start_encoding()  # connects, and sends the headers
            self.is_open = True
            now, fps = time.monotonic(), float(self.stream.fps)
            began = now if began is None else began
            self.line.send(Began(began))
            first = math.ceil((now - began) * fps)
            for number, picture in zip(count(first), self.stream.pictures(first), strict=False):
                due = began + number / fps
                if number >= until or self.line.poll(max(0.0, due - time.monotonic())):
                    break
                self._one(encoders, number - first, number, picture, due)
            encoders.finish()

    def _one(
        self, encoders: "_Encoders", place: int, number: int, picture: "Callable[[], VideoFrame]", due: float
    ) -> None:
        sent, dropped, total, lag = self.tally
        if time.monotonic() - due > BEHIND:
            self.tally = Tally(sent, dropped + 1, total, lag)
        else:
            total += encoders.send(place, picture(), self.stream.heard(number))
            self.tally = Tally(sent + 1, dropped, total, time.monotonic() - due)
        self.line.send(self.tally)

    def reason_of(self, error: OSError) -> str:
        """FFmpeg's error in words: which one it is depends on when it came."""
        import av

        if isinstance(error, av.ProtocolNotFoundError):
            return f"this PyAV can't send by {self.to.url.partition(':')[0]}: use rtmp://, udp:// or a file"
        reason = error.strerror or str(error)
        if self.is_open and self.tally.sent < SOON * self.stream.fps:
            return f"{self.to.shown} closed the line at once ({reason}): does it refuse the key?"
        if self.is_open:
            return f"{self.to.shown} went away ({reason})"
        if self.to.is_rtmp:
            return f"{self.to.shown} is there but refuses the application or the key ({reason}): is the key in use?"
        return f"can't send to {self.to.shown} ({reason})"


class _Encoders:
    """The encoders of a connection, and its container. Time stamps count from its first frame."""

    def __init__(self, out: Any, stream: "Stream") -> None:
        self.out, self.fps = out, stream.fps
        every, rate = str(max(1, round(KEY_EVERY * stream.fps))), str(stream.bit_rate)
        # no B-frames by zerolatency; sc_threshold: no key frames at cuts, so that they come regularly
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": every, "keyint_min": every, "sc_threshold": "0"}
        options |= {"b": rate, "maxrate": rate, "bufsize": rate, "x264-params": "nal-hrd=cbr"}  # what servers plan for
        self.video = out.add_stream("libx264", rate=stream.fps, options=options)
        self.video.width, self.video.height, self.video.pix_fmt = stream.width, stream.height, "yuv420p"
        self.video.codec_context.time_base = 1 / stream.fps
        self.audio, self.rate = None, 0
        if stream.sound:
            samples, self.rate = stream.sound
            self.audio = out.add_stream("aac", rate=self.rate, layout=layout_of(samples))

    def send(self, place: int, picture: "VideoFrame", samples: "np.ndarray | None") -> int:
        """Encode and send a frame, with the sound while it is shown. Gives the bytes that left."""
        picture.pts, picture.time_base = place, 1 / self.fps
        size = self._mux(self.video.encode(picture))
        if self.audio is not None and samples is not None:
            start = round(place * self.rate / self.fps)
            for piece in audio_frames(samples, self.rate):
                piece.pts, piece.time_base = start + (piece.pts or 0), Fraction(1, self.rate)
                size += self._mux(self.audio.encode(piece))
        return size

    def finish(self) -> None:
        for stream in (self.video, self.audio):
            if stream is not None:
                self._mux(stream.encode(None))

    def _mux(self, packets: Any) -> int:
        self.out.mux(packets)
        return sum(packet.size for packet in packets)
