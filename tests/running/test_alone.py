"""A stage sweeps up after one that was killed, and touches nothing that another stage is writing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tav.artifacts import artifact, atomic, write_json
from tav.running.alone import alone

KILLED = """
import os, signal
from tav.artifacts import artifact, atomic, write_json
with atomic(artifact("edit", "cat")) as folder:
    write_json(folder / "edit.json", {})
    with atomic(artifact("edit", "cat", "video.mp4")) as video, atomic(artifact("report")) as page:
        video.write_text("half")
        page.mkdir()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {}\n")
    return tmp_path


def begun() -> list[str]:
    """What is half written, each by the name of what it was to be."""
    return sorted(path.name.split(".")[1].removeprefix("tmp-") for path in Path("artifacts").rglob(".tmp-*"))


def test_what_a_killed_stage_left_is_swept_by_its_next_run() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert begun() == ["cat", "report", "video"]
    artifact("edit", "cat", ".weights.safetensors.123.partial").write_text("half")
    with atomic(artifact("edit", "cat-2")) as folder:  # another stage, which runs
        with alone("edit", "cat"):
            assert begun() == ["cat-2", "report"]
            assert not list(artifact("edit", "cat").iterdir())
        write_json(folder / "edit.json", {})
    with alone("report"):
        assert begun() == []
    assert artifact("edit", "cat-2", "edit.json").exists()


def test_results_are_not_swept() -> None:
    write_json(artifact("edit", "cat", "edit.json"), {})
    with alone("edit", "cat"):
        assert artifact("edit", "cat", "edit.json").exists()


def test_dvc_does_not_see_what_is_half_written() -> None:
    for name in ("done.json", ".tmp-cat.ab12/half.json", ".weights.safetensors.7.partial"):
        Path("artifacts", name).parent.mkdir(parents=True, exist_ok=True)
        Path("artifacts", name).write_text("{}")
    Path(".dvcignore").write_text((Path(__file__).parents[2] / ".dvcignore").read_text())
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    checked = subprocess.run(
        [sys.executable, "-m", "dvc", "check-ignore", *map(str, sorted(Path("artifacts").rglob("*.*")))],
        capture_output=True,
        text=True,
    )
    assert "done.json" not in checked.stdout
    assert len(checked.stdout.splitlines()) == 3, checked
