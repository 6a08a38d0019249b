"""A process that stays and runs stages one after the other: imports, base model and CLIP are there from the second on.

It ends with the DVC that it serves, when our code or its environment changes, after a stage that failed, and when
nobody has asked it for a while. What is held of models is in `tav.model.holding`.
"""

import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tav.processes.ending import GRACE, LOOK_EVERY, end_in_order
from tav.processes.lockfile import Kept, drop_broken_rwlock
from tav.running.guard import fingerprint
from tav.running.handing import FREE

IDLE = 120.0
"""Seconds without work after which it ends."""
CODE = Path(__file__).parents[1]
Run = Callable[[str, str], int]
"""Runs a stage for a key as a command would, and gives its exit code."""


class Before(NamedTuple):
    """What a process of its own would find anew: when it is another, this one has to end."""

    code: dict[str, tuple[int, int]]
    env: dict[str, str]
    """Of the first stage's command."""


def reside(listener: socket.socket, owner: int, run: Run) -> None:
    """Serve the stages of one DVC process until there is a reason to end."""
    end_in_order()
    before = Before(fingerprint(CODE), {})
    place, lock = Path(listener.getsockname()), Kept()
    lock.look()
    threading.Thread(target=_end_with, args=(owner, lock), daemon=True).start()
    listener.settimeout(IDLE)
    try:
        _hold_models()
        with suppress(TimeoutError):
            while _serve(listener.accept()[0], before, run, lock):
                pass
    finally:
        place.unlink(missing_ok=True)


def _hold_models() -> None:
    from tav.model.holding import HELD

    HELD.on = True


def _serve(front: socket.socket, before: "Before", run: Run, lock: Kept) -> bool:
    """Run one stage. False where this process should do no other."""
    with front, suppress(ConnectionError):
        front.sendall(b"+")
        with _asked(front) as request:
            if request is None:
                return True
            fixed = {name: value for name, value in request["env"].items() if name not in FREE}
            before.env.update(fixed if not before.env else {})
            if before != Before(fingerprint(CODE), fixed):
                _answer(front)
                return False
            os.environ.update(request["env"])
            lock.look()
            done = threading.Event()
            threading.Thread(target=_end_without, args=(front, done), daemon=True).start()
            with _fresh_state():
                result = run(request["stage"], request["key"])
            done.set()
        _answer(front, code=result)
        return result == 0
    return True


def _answer(front: socket.socket, **parts: int) -> None:
    front.sendall(json.dumps({"resident": os.getpid(), **parts}).encode() + b"\n")


@contextmanager
def _asked(front: socket.socket) -> Iterator[dict[str, Any] | None]:
    """What a front asks for, with our output going where its own goes. None where it has gone away."""
    data, given, _, _ = socket.recv_fds(front, 1 << 16, 2)
    with ExitStack() as stack:
        for file in given:
            stack.callback(os.close, file)
        while data and not data.endswith(b"\n"):
            more = front.recv(1 << 16)
            data = data + more if more else b""
        if not data or len(given) < 2:
            yield None
            return
        with _output(given[0], given[1]):
            yield json.loads(data)


@contextmanager
def _output(out: int, error: int) -> Iterator[None]:
    """Write to these files meanwhile, also what libraries write and children."""
    kept = [os.dup(1), os.dup(2)]
    _flush()
    os.dup2(out, 1)
    os.dup2(error, 2)
    try:
        yield
    finally:
        _flush()
        for file, number in zip(kept, (1, 2), strict=True):
            os.dup2(file, number)
            os.close(file)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()


@contextmanager
def _fresh_state() -> Iterator[None]:
    """What a process of its own would find, as far as it matters; afterwards nothing but what is held stays."""
    import gc

    torch = sys.modules.get("torch")
    if torch and (threads := os.environ.get("OMP_NUM_THREADS")):
        torch.set_num_threads(int(threads))
    if dynamo := sys.modules.get("torch._dynamo"):
        dynamo.reset()
    with suppress(OSError):  # the peak of the memory is each stage's own
        Path("/proc/self/clear_refs").write_text("5")
    if torch and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    try:
        yield
    finally:
        gc.collect()
        if torch and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _end_without(front: socket.socket, done: threading.Event) -> None:
    """End this process when whoever handed the stage over is gone before it is done."""
    with suppress(OSError):
        front.recv(1)
    if not done.is_set():
        _end()


def _end_with(owner: int, lock: Kept) -> None:
    """End this process when the one that it serves is gone. What that was writing is mended first."""
    try:
        file = os.pidfd_open(owner)
    except (OSError, AttributeError):
        while Path("/proc", str(owner)).exists():
            time.sleep(LOOK_EVERY)
    else:
        select.select([file], [], [])
    with suppress(OSError):
        lock.mend()
        drop_broken_rwlock()
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
