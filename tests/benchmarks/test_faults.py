"""benchmarks/faults.py in short, and what it counts with."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from trials.forked import forked
from trials.trial import Ended, Journal, run_all, table

SCRIPT = Path(__file__).parents[2] / "benchmarks/faults.py"


def faults(*options: str) -> str:
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_damaged_videos_and_hostile_settings(tmp_path: Path) -> None:
    """Three of each kind of video, and twenty of each kind of params.yaml."""
    said = faults("--only", "videos,params", "--videos", "36", "--params", "60", "--seed", "7", "--keep", str(tmp_path))
    assert said.count("| damaged videos: ") == 12
    assert "| damaged videos: AV1 | 3 | 3 |" in said
    assert "| params.yaml: names | 20 | 20 |" in said


def test_kills_a_full_disk_and_two_at_once(tmp_path: Path) -> None:
    few = ("--kills", "2", "--disk", "1", "--outages", "1", "--stages", "extract@cat", "--keep", str(tmp_path))
    said = faults("--only", "kills,disk,outages", *few)
    assert "| SIGKILL to DVC, in `extract` | 1 | 1 |" in said
    assert "| SIGKILL to the stage's command, in `extract` | 1 | 1 |" in said
    assert "in `extract` | 1 | 1 | an error 1 |" in said
    assert "| two `dvc repro` at once in one folder | 1 | 1 |" in said


def killed() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def slow() -> str:
    time.sleep(60)
    return ""


@pytest.mark.parametrize(
    ("act", "said", "broke"),
    [
        (lambda: "done" * 50_000, "done" * 50_000, ""),
        (lambda: str(1 // 0), "", "ZeroDivisionError"),
        (killed, "", "was ended by SIGKILL"),
        (slow, "", "still ran after 0.2 s"),
        (lambda: str(len(bytes(1 << 40))), "", "MemoryError"),
    ],
)
def test_what_breaks_in_a_child_is_seen(act: Callable[[], str], said: str, broke: str) -> None:
    got, why = forked(act, seconds=0.2 if act is slow else 60)
    assert got == said
    assert broke in why
    assert bool(broke) == bool(why)


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[str] = []

    def trial(name: str) -> Ended:
        made.append(name)
        return Ended("even" if int(name) % 2 == 0 else "odd", "it broke" * (name == "3"), "a word")

    first = run_all(["0", "1"], trial, Journal(tmp_path / "journal"))
    ended = run_all(map(str, range(5)), trial, Journal(tmp_path / "journal"))
    assert made == ["0", "1", "2", "3", "4"]
    assert ended[:2] == first
    assert capsys.readouterr().out == "3: it broke\n"
    assert table(ended).splitlines()[2:] == ["| even | 3 | 3 | a word 3 |", "| odd | 2 | 1 | a word 2 |"]
