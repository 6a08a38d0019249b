"""The command that DVC runs for a stage hands its work to a resident worker, and starts one where there is none.

One worker serves one DVC, by a socket in the project's folder. Imports the standard library alone: it has to be quick.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from tav.processes.ending import GRACE, above, end_with_parent

PATIENCE = 60.0
"""Seconds that a worker has to start."""
FREE = frozenset({"DVC_STAGE", "OMP_NUM_THREADS", "OLDPWD", "PWD", "SHLVL", "_"})
"""Of the environment, what may differ from stage to stage."""


def hand_over(words: list[str]) -> int | None:
    """Have a resident worker run the stage. Gives its exit code; None: this process has to do it alone.

    words: of the command. Only what DVC runs is handed over. TAV_RESIDENT says to whom: "PID-NAME", a worker of that
    process (unset: of the DVC that runs us); "off": nobody.
    """
    named, _, key = os.environ.get("DVC_STAGE", "").partition("@")
    whose = os.environ.get("TAV_RESIDENT") or str(above()[-1])
    if sys.platform != "linux" or whose == "off" or not named or words != [named]:
        return None
    with _caught() as caught, suppress(OSError, ValueError), _connected(whose) as worker:
        end_with_parent()
        _send(worker, {"stage": named, "key": key, "env": dict(os.environ)})
        try:
            answer = _answer_of(worker)
        except _Ended:
            answer = {}
        if caught:  # the worker tidies up when it hears nobody any more
            worker.shutdown(socket.SHUT_WR)
            worker.settimeout(GRACE + 2)
            with suppress(OSError, _Ended):
                _answer_of(worker)
            return 128 + caught[0]
        if not answer:  # killed, with what it did: as if this process had been
            return 128 + signal.SIGKILL
        return answer.get("code")  # none: it works for nobody any more
    return 128 + caught[0] if caught else None


def place_of(whose: str) -> Path:
    """The socket of a worker. Relative to the project: a socket's path must be short."""
    namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")  # containers count their processes anew
    return Path(f"artifacts/.lock/resident-{namespace}-{whose}")


class _Ended(Exception):
    """Nothing more is to be heard."""


@contextmanager
def _caught() -> Iterator[list[int]]:
    """The signals that came meanwhile. They end a wait for the worker."""
    caught: list[int] = []

    def keep(number: int, _: FrameType | None) -> None:
        caught.append(number)
        raise _Ended

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, keep)
        with suppress(_Ended):
            yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _connected(whose: str) -> Iterator[socket.socket]:
    """A worker that is ready to work. Raises OSError where there is none."""
    place, owner = place_of(whose), int(whose.partition("-")[0])
    with socket.socket(socket.AF_UNIX) as worker:
        worker.settimeout(PATIENCE)
        try:
            worker.connect(str(place))
        except (FileNotFoundError, ConnectionRefusedError):
            _start(place, owner)
            worker.connect(str(place))
        if worker.recv(1) != b"+":
            raise ConnectionAbortedError(place)
        worker.settimeout(None)
        yield worker


def _start(place: Path, owner: int) -> None:
    """Start a worker. It finds its socket open: who connects from now on waits for it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        command = [sys.executable, "-m", "tav", "reside", str(listener.fileno()), str(owner)]
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C is for this process, which tells the worker
        )


def _send(worker: socket.socket, request: dict[str, Any]) -> None:
    """A request, and where its output goes."""
    data = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(worker, [data], [1, 2])
    worker.sendall(data[sent:])


def _answer_of(worker: socket.socket) -> dict[str, Any]:
    """What the worker answers. Empty where it is gone."""
    with worker.makefile("rb") as answer, suppress(ConnectionError, ValueError):
        reply: dict[str, Any] = json.loads(answer.readline())
        return reply
    return {}
