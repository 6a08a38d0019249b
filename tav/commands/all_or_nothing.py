"""A change of several files that happens whole or not at all, also when a signal ends it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def all_or_nothing() -> Iterator[ExitStack]:
    """What the block pushes on the stack is called, last first, when an error or a signal ends the block.

    A signal raises SystemExit in the block, after which no other is heard: what is taken back is taken back whole.
    """
    before = _handlers()

    def end(number: int, frame: FrameType | None) -> None:
        no_more_signals()
        raise SystemExit(128 + number)

    try:
        with ExitStack() as undo:
            for number, handler in before.items():
                if handler is not signal.SIG_IGN:  # nohup asks for that
                    signal.signal(number, end)
            yield undo
            undo.pop_all()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def no_more_signals() -> None:
    """From here to the end of the block it is quick: a signal comes too late."""
    for number in _handlers():
        signal.signal(number, signal.SIG_IGN)


def put_back(file: Path) -> Any:
    """A function that makes a small file again what it is now, or takes it away where it is not there."""
    content = file.read_bytes() if file.is_file() else None

    def undo() -> None:
        if content is None:
            file.unlink(missing_ok=True)
        elif not file.is_file() or file.read_bytes() != content:
            file.write_bytes(content)

    return undo


def _handlers() -> dict[signal.Signals, Any]:
    """Of the signals that end a process. Only a main thread may set them."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in ENDING}
