"""What stands for a stage while a fork of `flows.dvc_host` makes it, run as a script: PLACE MODULE STAGE.

Exits as the stage did. Ends the stage when it is stopped itself. Imports nothing of ours: it has to be quick.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType


def stand_for(place: str, by: str, stage: str) -> int | None:
    """The stage's exit code; None where the host is not there, or could not say. by: the module that makes it."""
    with socket.socket(socket.AF_UNIX) as host, suppress(OSError, ValueError):

        def stop(number: int, _: FrameType | None) -> None:
            with suppress(OSError):
                host.shutdown(socket.SHUT_WR)  # the host stops the stage, and says how it ended

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        host.connect(place)
        data = json.dumps({"by": by, "stage": stage, "env": dict(os.environ)}).encode() + b"\n"
        host.sendall(data[socket.send_fds(host, [data], [1, 2]) :])
        with host.makefile("rb") as answer:
            code: int = json.loads(answer.readline())
            return code
    return None


if __name__ == "__main__":
    code = stand_for(*sys.argv[1:4])
    if code is None:
        os.execv(sys.executable, [sys.executable, "-P", "-m", *sys.argv[2:4]])
    sys.exit(code)
