"""One Prefect server for all tests of a run, also where pytest-xdist runs them in several processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock
from flow_project import wait_for


@contextmanager
def shared_server(folder: Path) -> Iterator[str]:
    """The address of a server. The first that asks starts it, the last that is done stops it. folder: common to all."""
    state = folder / "prefect.json"
    with FileLock(f"{state}.lock"):
        known = json.loads(state.read_text()) if state.exists() else _start()
        state.write_text(json.dumps({**known, "users": known["users"] + 1}))
    try:
        wait_for(lambda: _answers(known["address"]), 600)
        yield known["address"]
    finally:
        with FileLock(f"{state}.lock"):
            known = json.loads(state.read_text())
            if known["users"] > 1:
                state.write_text(json.dumps({**known, "users": known["users"] - 1}))
            else:
                os.kill(known["pid"], signal.SIGTERM)
                state.unlink()


def _start() -> dict[str, str | int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tempfile.mkdtemp(prefix="prefect-")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env |= {"PREFECT_HOME": home, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--port", str(port)]
    with Path(home, "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    return {"address": f"http://127.0.0.1:{port}/api", "pid": server.pid, "users": 0}


def _answers(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
        return bool(answer.read() == b"true")
    return False
