"""One DVC for many stages: it reads the project once, and each stage is made by a fork of it.

A fork is a process of its own, as `flows.repro STAGE` is (on a worker `flows.remote.repro STAGE`): in a session of its
own, stopped with all that it runs. It is asked for by `flows.front`. For Linux: elsewhere, and where there is no host,
each stage has a DVC of its own.
"""

import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.supervisor import GRACE

if TYPE_CHECKING:
    from flows.dvc_api import Project

PLACE = "TAV_DVC_HOST"
"""The variable with the host's socket."""


@contextmanager
def hosted() -> Iterator[None]:
    """Meanwhile this process has a host, which `flows.process.repro` knows of. It ends with this process."""
    if sys.platform != "linux" or PLACE in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="tav-") as folder, socket.socket(socket.AF_UNIX) as listener:
        place = str(Path(folder, "dvc"))
        listener.bind(place)
        listener.listen(64)
        command = [sys.executable, "-P", "-m", "flows.dvc_host", str(listener.fileno())]
        host = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], start_new_session=True)
        listener.close()
        os.environ[PLACE] = place
        try:
            yield
        finally:
            del os.environ[PLACE]
            host.communicate()  # closes its stdin, and waits


class Host:
    """The forks that run, and who waits for them."""

    def __init__(self, listener: socket.socket) -> None:
        self.project: Project | None = None
        self.ears = selectors.DefaultSelector()
        self.ears.register(listener, selectors.EVENT_READ, self._accept)
        self.ears.register(0, selectors.EVENT_READ, self._leave)
        self.ends: dict[int, float] = {}
        """Fork -> when it is killed, of those that were told to stop."""
        self.over = False

    def serve(self) -> None:
        """Make stages until stdin closes, and stop what then runs."""
        while not self.over or self._forks():
            for key, _ in self.ears.select(timeout=0.2 if self.ends else None):
                key.data(key.fileobj)
            for fork, end in list(self.ends.items()):
                if time.monotonic() > end:
                    _signal(fork, signal.SIGKILL)

    def _forks(self) -> list[int]:
        return [key.data.fork for key in self.ears.get_map().values() if isinstance(key.data, _Ending)]

    def _leave(self, _: Any) -> None:
        self.ears.unregister(0)
        self.over = True
        for fork in self._forks():
            self._stop(fork)

    def _left(self, fork: int, front: socket.socket) -> None:
        """Who waited for a fork is gone, or wants it stopped."""
        self.ears.unregister(front)
        self._stop(fork)

    def _stop(self, fork: int) -> None:
        if fork not in self.ends:
            self.ends[fork] = time.monotonic() + GRACE
            _signal(fork, signal.SIGINT)

    def _accept(self, listener: socket.socket) -> None:
        front = listener.accept()[0]
        with suppress(OSError, ValueError, KeyError):
            request, files = _asked(front)
            self._look()
            fork = os.fork()
            if fork == 0:
                self._forget()
                _make(request, files, self.project)
            for file in files:
                os.close(file)
            self.ears.register(front, selectors.EVENT_READ, partial(self._left, fork))
            self.ears.register(os.pidfd_open(fork), selectors.EVENT_READ, _Ending(self, fork, front))
            return
        front.close()  # it makes the stage alone

    def _forget(self) -> None:
        """In a fork: what is open here is the host's. A front would wait for ever for a host that is gone."""
        for key in list(self.ears.get_map().values()):
            if key.fd != 0:
                os.close(key.fd)
        self.ears.close()

    def _look(self) -> None:
        """Have the project as it is now. A project that DVC can't read is told by who makes a stage of it."""
        from flows import dvc_api

        if self.project is None or not self.project.is_current():
            self.project = None
            with suppress(Exception):
                self.project = dvc_api.Project()
                gc.collect()
                gc.freeze()  # what forks don't touch they don't copy


class _Ending:
    """Called when a fork has ended: tells who waits for it."""

    def __init__(self, host: Host, fork: int, front: socket.socket) -> None:
        self.host, self.fork, self.front = host, fork, front

    def __call__(self, file: int) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(self.fork, 0)[1])
        _signal(self.fork, signal.SIGKILL)  # what it left behind
        self.host.ends.pop(self.fork, None)
        self.host.ears.unregister(file)
        os.close(file)
        with suppress(KeyError):
            self.host.ears.unregister(self.front)
        with suppress(OSError):
            self.front.sendall(json.dumps(code if code >= 0 else 128 - code).encode() + b"\n")
        self.front.close()


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _asked(front: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What a front asks for, and where the output goes."""
    data, files, _, _ = socket.recv_fds(front, 1 << 16, 2)
    while data and not data.endswith(b"\n"):
        more = front.recv(1 << 16)
        data = data + more if more else b""
    return json.loads(data), files  # of nothing, that is no JSON


def _make(request: dict[str, Any], files: list[int], project: "Project | None") -> None:
    """Make the stage, in the fork, and end it."""
    from tav.processes.ending import end_with_parent

    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, file in zip((1, 2), files, strict=True):
            os.dup2(file, number)
        os.environ.clear()
        os.environ.update(request["env"])
        end_with_parent()
        code = import_module(request["by"]).main(request["stage"], project)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as given:
        Host(given).serve()
