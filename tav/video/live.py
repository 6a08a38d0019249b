"""A stream pushed live, with whoever looks on: connects, tells how it goes, gives a stalled server up, tries again."""

import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import inf

from tav.params import UserError
from tav.video.address import PATIENCE, Address, greet
from tav.video.link import Began, Ended, Ready, Tally, send
from tav.video.streams import Stream

STUCK = 10.0
"""Seconds without any progress after which a server counts as gone."""
STARTS = 60.0
"""Seconds that the process which sends may take to start: on a busy machine its libraries are read slowly."""
TELL_EVERY = 5.0
"""Seconds between two lines on how it goes."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds before each new attempt; the last one again and again."""


class Pusher:
    """Sends a stream. Frame i is due at i / fps after the start, whatever comes between: time doesn't drift."""

    def __init__(self, stream: Stream, to: Address, *, reconnect: bool, tell: Callable[[str], None]) -> None:
        """tell: gets a line now and then. reconnect: go on, where the clock is by then, when the server was away."""
        self.stream, self.to, self.reconnect, self.tell = stream, to, reconnect, tell
        self.began: float | None = None
        self.before, self.now = Tally(), Tally()
        """Of the connections that are over, and of this one."""
        self._failures = 0
        self._recent: deque[tuple[float, Tally]] = deque(maxlen=128)

    @property
    def sent(self) -> int:
        return self.before.sent + self.now.sent

    @property
    def dropped(self) -> int:
        return self.before.dropped + self.now.dropped

    def run(self, stop: threading.Event, num_frames: int | None = None) -> None:
        """Push so many frames (None: to the stream's end), or until `stop` is set. Raises UserError."""
        while not stop.is_set():
            problem = self._connection(stop, inf if num_frames is None else num_frames)
            if problem is None:
                return
            if not self.reconnect:
                raise UserError(problem)
            pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
            self._failures += 1
            self.tell(f"{problem}. Trying again in {pause:g} s")
            stop.wait(pause)

    def _connection(self, stop: threading.Event, until: float) -> str | None:
        """One connection to its end: what went wrong, in one line."""
        if self.to.is_rtmp:
            try:
                greet(self.to)
            except UserError as error:
                return str(error)
        spawn = multiprocessing.get_context("spawn")
        line, theirs = spawn.Pipe()
        child = spawn.Process(target=send, args=(self.stream, self.to, theirs, self.began, until), daemon=True)
        child.start()
        theirs.close()
        try:
            return self._watch(line, stop)
        finally:
            self.before, self.now = Tally(self.sent, self.dropped), Tally()
            self._recent.clear()
            child.kill()
            child.join()
            line.close()

    def _watch(self, line: "multiprocessing.connection.Connection", stop: threading.Event) -> str | None:
        moved = last_report = time.monotonic()
        asked: float | None = None
        patience, late = STARTS, f"the process that encodes and sends did not start within {STARTS:g} s"
        while True:
            if line.poll(0.1):
                try:
                    message = line.recv()
                except EOFError:
                    return "the process that encodes and sends has died"
                moved = time.monotonic()
                if isinstance(message, Ended):
                    return message.problem
                patience, late = STUCK, f"{self.to.shown} takes nothing any more (for {STUCK:g} s)"
                self._take(message)
            now = time.monotonic()
            if stop.is_set() and asked is None:
                asked = now
                with suppress(OSError):
                    line.send("stop")
            if asked is not None and now - asked > PATIENCE:
                return None
            if now - moved > patience:
                return late
            if now - last_report >= TELL_EVERY and self._recent:
                self.tell(self.report())
                last_report = now

    def _take(self, message: Ready | Began | Tally) -> None:
        if isinstance(message, Began):
            self.began, self._failures = message.at, 0
        elif isinstance(message, Tally):
            self.now = message
            self._recent.append((time.monotonic(), message))

    def report(self) -> str:
        """One line on how it goes: the rates are those of late."""
        (start, first), (end, last) = self._recent[0], self._recent[-1]
        seconds = max(end - start, 1e-3)
        rate, bits = (last.sent - first.sent) / seconds, 8 * (last.bytes - first.bytes) / seconds
        counts = f"{self.sent} frames sent, {self.dropped} dropped"
        return f"{rate:.1f} frames/s, {bits / 1000:.0f} kbit/s, {counts}, {1000 * last.lag:.0f} ms behind"
