"""A function in a child process that is forked from this one, with its imports: a crash or a hang of it is seen."""

import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

MEMORY = 6 << 30
"""Bytes that a child may have."""


def forked(act: Callable[[], str], seconds: float = 60, memory: int | None = MEMORY) -> tuple[str, str]:
    """(what `act` gave, "") or ("", how it broke): raised something, was killed by a signal, or took too long."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        _act(act, write, memory)
    os.close(write)
    said, in_time = _all_of(read, time.monotonic() + seconds)
    if not in_time:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not in_time:
        return "", f"still ran after {seconds:g} s"
    if os.WIFSIGNALED(status):
        return "", f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return (said, "") if os.WEXITSTATUS(status) == 0 else ("", said or f"exited with {os.WEXITSTATUS(status)}")


def _act(act: Callable[[], str], write: int, memory: int | None) -> None:
    """In the child: never comes back."""
    code = 1
    try:
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        said, code = act(), 0
    except BaseException:
        said = traceback.format_exc()
    with suppress(OSError), os.fdopen(write, "w", encoding="utf-8", errors="replace") as pipe:
        pipe.write(said)
    os._exit(code)


def _all_of(read: int, end: float) -> tuple[str, bool]:
    """What comes out of a pipe until it closes, and whether it closed before `end`."""
    said = b""
    with os.fdopen(read, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0, end - time.monotonic()))[0]:
            if not (chunk := pipe.read(1 << 16)):
                return said.decode(errors="replace"), True
            said += chunk
    return said.decode(errors="replace"), False
