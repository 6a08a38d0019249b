"""A stage ends with the DVC that runs it, however that ended, and tidies up."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from flow_project import ENV, left, wait_for

STAGE = """
import os, sys, time
from pathlib import Path
from tav.processes import ending
from tav.processes.ending import end_in_order, end_with_parent
ending.LOOK_EVERY = 0.05
end_in_order()
if os.environ.get("DVC_STAGE"):
    end_with_parent()
try:
    Path("here").touch()
    while not Path("go").exists():
        time.sleep(0.1)
    time.sleep(20 * ending.LOOK_EVERY)
    Path("finished").touch()
finally:
    Path("tidied").touch()
"""
DVC = """
import signal, sys
from dvc.cli import main
for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_DFL)
sys.exit(main(["repro"]))
"""
PYTHON_STAGE = [sys.executable, "stage.py"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("stage.py").write_text(STAGE)
    return tmp_path


@pytest.mark.parametrize(
    ("number", "command"),
    [
        (signal.SIGTERM, "python stage.py"),
        (signal.SIGHUP, "python stage.py; true"),  # the shell stays between the stage and DVC
        (signal.SIGKILL, "python stage.py"),
    ],
)
def test_a_stage_ends_with_dvc(folder: Path, number: signal.Signals, command: str) -> None:
    for setup in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(setup, check=True)
    Path("dvc.yaml").write_text(f"stages: {{tune: {{cmd: '{command}'}}}}\n")
    with subprocess.Popen([sys.executable, "-c", DVC], env=ENV, stdout=subprocess.DEVNULL) as dvc:
        wait_for(Path("here").exists)
        dvc.send_signal(number)
    assert dvc.returncode == -number
    wait_for(lambda: not left(folder), 15)
    assert Path("tidied").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_stage_in_order(number: signal.Signals) -> None:
    with subprocess.Popen(PYTHON_STAGE) as stage:
        wait_for(Path("here").exists)
        stage.send_signal(number)
    assert stage.returncode == 128 + number
    assert Path("tidied").exists()


def test_what_a_person_starts_outlives_its_shell(folder: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    start = f"trap '' HUP; {sys.executable} stage.py & while ! [ -e here ]; do sleep 0.1; done; echo $! > pid"
    subprocess.run(["sh", "-c", start], env=env, check=True, timeout=60)
    os.kill(int(Path("pid").read_text()), signal.SIGHUP)
    Path("go").touch()
    wait_for(Path("finished").exists)
    wait_for(lambda: not left(folder))
