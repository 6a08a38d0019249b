"""MLflow's page, for the store of this project."""

import errno
import os
import socket
import sys

from tav.params import UserError
from tav.record.store import ARTIFACTS, DATABASE, QUIET, address, is_own, safe, settle, usable


def serve(port: int = 5000) -> None:
    """Show the store in the browser: becomes `mlflow server`, until Ctrl-C.

    Raises UserError when the port can't be had or nothing is recorded yet.
    """
    if address().startswith("http"):
        print(f"MLflow is at {safe(address())}")
        return
    if is_own() and not DATABASE.exists():
        raise UserError(f"nothing is recorded yet in {DATABASE.absolute().parent}: run `dvc repro`, then `tav record`")
    check_port(port)
    with usable():
        settle()
    print(f"MLflow: http://127.0.0.1:{port} in half a minute. Ctrl-C ends it.", flush=True)
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", ARTIFACTS.absolute().as_uri()]
    store = {"MLFLOW_BACKEND_STORE_URI": address()}  # it may hold a password: everyone sees a process's arguments
    os.execve(sys.executable, [sys.executable, "-m", *command], {**QUIET, **os.environ, **store})


def check_port(port: int) -> None:
    """Raises UserError where no server can listen on it."""
    if not 0 < port < 2**16:
        raise UserError(f"there is no port {port}: give one from 1024 to 65535, as in `tav ui --port 5000`")
    other = port + 1 if port + 1 < 2**16 else 5000
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise UserError(f"port {port} is not allowed: give one from 1024 on, as in `tav ui --port 5000`") from None
        except OSError as error:
            why = "taken" if error.errno == errno.EADDRINUSE else f"not to be had ({error.strerror})"
            raise UserError(f"port {port} is {why}: run `tav ui --port {other}`") from None
