"""A stage as a child process: in a session of its own, never outliving who started it, its output line by line."""

import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from flows import front, supervisor
from flows.dvc_host import PLACE
from flows.ends import Exit, tell
from flows.supervisor import GRACE


def repro(*stages: str, by: str = "flows.repro") -> list[str]:
    """The command that makes stages of dvc.yaml that DVC finds stale. `ends.tell` knows its exit codes.

    by: the module that makes a stage; on a worker `flows.remote.repro`.
    """
    if PLACE in os.environ and len(stages) == 1:
        return [sys.executable, "-I", "-S", front.__file__, os.environ[PLACE], by, *stages]
    return [sys.executable, "-P", "-m", by, *stages]  # -P: not a flows.py of the project


def environment(threads: int, gpu: str | None = None, place: int = 0) -> dict[str, str]:
    """What a stage finds in its environment: this Python first, its share of the machine, no telemetry.

    place: of those that run at once; each has a resident worker of its own, which ends with this process.
    """
    here = Path(sys.executable).parent  # dvc.yaml's commands say `python`
    return {
        "OMP_NUM_THREADS": str(threads),
        "TAV_RESIDENT": f"{os.getpid()}-{(gpu or str(place)).replace('/', '_')}",
        **os.environ,
        "PATH": f"{here}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "SHELL": "/bin/sh",  # DVC runs commands in the user's shell, whichever that is
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # of the one card that it sees, whichever number that has for us
        **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu, "TAV_DEVICE": "cuda"}),
    }


def run(
    command: Sequence[str],
    env: dict[str, str],
    on_line: Callable[[str], None] = print,
    timeout: float | None = None,
    stop: threading.Event | None = None,
) -> Exit:
    """Run a command to its end, or until `timeout` seconds have passed or `stop` is set. It leaves nothing behind.

    on_line: gets each line of stdout and stderr as it comes, in this thread.
    """
    end = time.monotonic() + timeout if timeout else float("inf")
    last_line, cut = "", ""
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=env,
    )
    try:
        for line in _lines(child):
            if line is not None:
                last_line = line.strip() or last_line
                on_line(line)
            if not cut and ((stop and stop.is_set()) or time.monotonic() >= end):
                cut = "stopped" if stop and stop.is_set() else f"timed out after {timeout:g} s"
                end = time.monotonic() + GRACE + 2
                _pipe(child.stdin).close()  # the supervisor stops them all
            elif cut and time.monotonic() >= end:
                break
    finally:
        _end(child)
    return Exit(False, False, cut) if cut else tell(child.returncode, last_line)


def _lines(child: "subprocess.Popen[bytes]") -> Iterator[str | None]:
    """Lines of output as they come, and None now and then, until the child has ended."""
    out, rest = _pipe(child.stdout), b""
    with selectors.DefaultSelector() as selector:
        selector.register(out, selectors.EVENT_READ)
        while True:
            ended = child.poll() is not None
            if selector.select(timeout=0 if ended else 0.5 if selector.get_map() else 0.05):
                chunk = os.read(out.fileno(), 65536)
                *lines, rest = (rest + chunk).split(b"\n")
                yield from map(_text, lines)
                if not chunk:
                    selector.unregister(out)
            elif ended:
                break
            yield None
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    """What stands on the line in the end: a bar that is drawn over and over counts once."""
    return line.decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Stop what still runs."""
    _pipe(child.stdin).close()
    with suppress(subprocess.TimeoutExpired):
        child.wait(timeout=GRACE + 2)
    child.kill()
    child.wait()
    _pipe(child.stdout).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe
    return pipe
