"""How a stage ends before its time: in order, and not later than the DVC that runs it."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

LOOK_EVERY = 1.0
"""Seconds between two looks at who runs us."""
GRACE = 10.0
"""Seconds that a stage has to tidy up."""
SHELLS = {"sh", "ash", "bash", "dash", "fish", "ksh", "zsh"}


def end_in_order() -> None:
    """Make SIGTERM and SIGHUP end this process as an error does: what is half written is deleted.

    What is ignored, as under nohup, stays ignored. For the main thread of a stage.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave)


def end_with_parent() -> None:
    """End this process when the one that runs it is gone, since nobody would put its results on record.

    A signal to DVC alone does not reach the stage. Not for what a person starts, which may outlive its shell.
    """
    threading.Thread(target=_watch, args=(above(),), daemon=True).start()


def _watch(before: list[int]) -> None:
    while above() == before:
        time.sleep(LOOK_EVERY)
    with suppress(OSError):  # its end of the pipe may be gone too
        print("error: what ran this is gone: stopped", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def above() -> list[int]:
    """The process that runs this one. Some shells stay between a command and DVC: then theirs too."""
    pids = [os.getppid()]
    with suppress(OSError, ValueError):  # where there is no /proc, or the shell is gone
        name, _, rest = Path("/proc", str(pids[0]), "stat").read_text().partition("(")[2].rpartition(")")
        if name in SHELLS:
            pids.append(int(rest.split()[1]))
    return pids


def _leave(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
