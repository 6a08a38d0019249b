"""`tav ui`, up to where it becomes `mlflow server`, and that server."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tav.params import UserError
from tav.record.ui import check_port, serve


def test_it_says_why_it_can_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="nothing is recorded yet"):
        serve()
    (tmp_path / "mlflow.db").write_text("nonsense" * 999)
    with pytest.raises(UserError, match=r"mlflow\.db is damaged: move it away"):
        serve()


@pytest.mark.parametrize("port", [-1, 0, 65536, 70000, 10**12])
def test_no_such_port(port: int) -> None:
    with pytest.raises(UserError, match=f"^there is no port {port}: give one from 1024 to 65535"):
        check_port(port)


def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"^port {port} is taken: run `tav ui --port \\d+`$"):
            check_port(port)


def test_a_port_that_is_not_allowed(tmp_path: Path) -> None:
    """Asked as a user who may not have the ports below 1024."""
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from tav.record.ui import check_port
if os.getuid() == 0: os.setuid(65534)
try: check_port(80)
except Exception as error: print(error)
"""
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert said.startswith("port 80 is not allowed: give one from 1024 on") or lowest <= 80


def test_a_server_s_address_is_shown_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    serve()
    assert capsys.readouterr().out == "MLflow is at http://host:5000\n"


def test_no_process_has_the_password_in_its_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mlflow takes the store's address from the environment."""
    asked: list[str] = []

    def become(path: str, arguments: list[str], environment: dict[str, str]) -> None:
        asked.extend([*arguments, environment["MLFLOW_BACKEND_STORE_URI"]])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/db")
    monkeypatch.setattr(os, "execve", become)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve(port)
    assert asked.pop() == "postgresql://me:secret@host/db"
    assert asked[1:5] == ["-m", "mlflow", "server", "--host"]
    assert not any("secret" in argument for argument in asked)
