"""What stands between the flow and a command, run as a script of its own. It imports nothing of ours.

It holds one end of a pipe. When the other end closes, because the flow closes it or is dead, however that came, it
stops the command's whole process group: first with SIGINT, so that the stage can tidy up and DVC releases its locks,
then with SIGKILL. (PR_SET_PDEATHSIG would reach DVC alone and not the stage below it, and is Linux's alone.)
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

GRACE = 8.0
"""Seconds between SIGINT and SIGKILL."""


def supervise(command: Sequence[str]) -> int:
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
    sys.exit(supervise(sys.argv[1:]))
