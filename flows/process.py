"""A stage as a child process: in a session of its own, never outliving who started it, its output line by line.

Between us and the command stands a supervisor: this file, run as a script. It holds one end of a pipe. When the other
end closes, because we close it or because we are dead, however that came, it stops the command's whole process group:
first with SIGINT, so that the stage can tidy up and DVC releases its locks, then with SIGKILL. (PR_SET_PDEATHSIG would
reach DVC alone and not the stage below it, and is Linux's alone.)
"""

import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

GRACE = 8.0
"""Seconds between SIGINT and SIGKILL."""
AGAIN = {75, 137, 143}
"""Exit codes that another try can cure: EX_TEMPFAIL, and a shell's word for killed by SIGKILL or SIGTERM."""
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")


class Exit(NamedTuple):
    """How a command ended."""

    ok: bool
    curable: bool
    """Another try may end well."""
    text: str
    """In words: "ran", "exited with 1: error: no such file"."""


def repro(stage: str) -> list[str]:
    """The command that makes one stage of dvc.yaml, if DVC finds it stale."""
    return [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]


def environment(threads: int, gpu: str | None = None) -> dict[str, str]:
    """What a stage finds in its environment: this Python first, its share of the machine, no telemetry."""
    here = Path(sys.executable).parent  # dvc.yaml's commands say `python`
    return {
        "OMP_NUM_THREADS": str(threads),
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
    tail: deque[str] = deque(maxlen=200)
    cut = ""
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=env,
    )
    try:
        for line in _lines(child):
            if line is not None:
                tail.append(line)
                on_line(line)
            if not cut and ((stop and stop.is_set()) or time.monotonic() >= end):
                cut = "stopped" if stop and stop.is_set() else f"timed out after {timeout:g} s"
                end = time.monotonic() + GRACE + 2
                _pipe(child.stdin).close()  # the supervisor stops them all
            elif cut and time.monotonic() >= end:
                break
    finally:
        _end(child)
    return Exit(False, False, cut) if cut else tell(child.returncode, "\n".join(tail))


def tell(code: int, output: str) -> Exit:
    """What the exit code and the last output of `dvc repro` mean. DVC exits with 255 for everything."""
    if code == 0:
        done = re.findall(r"didn't change, skipping|is cached - skipping run", output)
        words = {"didn't change, skipping": "did not change", "is cached - skipping run": "came from the cache"}
        return Exit(True, False, words[done[-1]] if done else "ran")
    said = re.search(r"^ERROR: .*exited with (-?\d+)$", output, re.M | re.S)
    stage_code = int(said[1]) if said else code
    if stage_code < 0:
        return Exit(False, True, f"killed by {_signal_name(-stage_code)}")
    if stage_code in AGAIN:
        return Exit(False, True, f"exited with {stage_code}")
    if not said and any(words in output for words in BUSY):
        return Exit(False, True, "another DVC is at work on it")
    return Exit(False, False, f"exited with {stage_code}: {_last_words(output)}".rstrip(": "))


def _last_words(output: str) -> str:
    """The last thing that the stage said, or DVC where it never came to the stage."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    own = [line for line in lines if not re.match(r"ERROR: .*exited with -?\d+$|> |Running stage ", line)]
    return re.sub(r"^ERROR: failed to reproduce '.*?': ", "DVC: ", own[-1]) if own else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


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


def _supervise(command: Sequence[str]) -> int:
    """Run the command for the process at the other end of stdin, and stop it when that end closes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # under nohup or a shell's `&` it is ignored, here and below
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)

    def signal_all(number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)

    def watch() -> None:
        while os.read(0, 1):
            pass
        signal_all(signal.SIGINT)
        time.sleep(GRACE)
        signal_all(signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()  # also takes a killed DVC off the process table: its locks hold while its pid is there
    signal_all(signal.SIGKILL)  # what the command left behind
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_supervise(sys.argv[1:]))
