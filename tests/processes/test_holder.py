"""Who holds a lock, asked of a real process that does."""

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tav.processes.holder import holder_of


def test_another_process_is_named(tmp_path: Path) -> None:
    code = "import sys; from filelock import FileLock\nwith FileLock(sys.argv[1]): print(flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path / "x.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        said = holder_of(tmp_path / "x.lock")
        process.communicate("\n")
    assert said.startswith(f"process {process.pid} (python")
    assert len(said) < 120
    assert said.endswith("…)")


def test_oneself_nobody_and_nothing(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "x.lock")
    assert holder_of(tmp_path / "x.lock") == "another process"  # no such file
    with lock:
        assert holder_of(tmp_path / "x.lock").startswith(f"process {os.getpid()} (")
    assert holder_of(tmp_path / "x.lock") == "another process"
