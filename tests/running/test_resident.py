"""A resident worker runs the stages that DVC's commands hand over: the same files, and it ends when it should."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from flow_project import ENV, left, wait_for
from project import ROOT, make_project, write_params
from tiny import tiny_clip, tiny_stable_diffusion

from tav.running.stage import run_stage

STAGES = [
    "model",
    *(f"{stage}@cat" for stage in ("extract", "caption", "tune", "invert")),
    *(f"{stage}@cat--{animal}" for animal in ("dog", "fox") for stage in ("edit", "evaluate")),
]
DVC = """
import os, subprocess, sys
for line in sys.stdin:  # a stage, and what happens before it
    stage, _, before = line.strip().partition(" ")
    exec(before)
    command = [sys.executable, "-m", "tav", stage.partition("@")[0]]
    done = subprocess.run(command, env=os.environ | {"DVC_STAGE": stage}, capture_output=True, text=True)
    print(repr((done.returncode, done.stdout, done.stderr)), flush=True)
"""
ENVIRONMENT = {**ENV, "PYTHONPATH": str(ROOT), "TAV_TRACKING": "off", "OMP_NUM_THREADS": "1"}


class Dvc:
    """Stands for DVC: runs commands one after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DVC], env=ENVIRONMENT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, stage: str, before: str = "") -> tuple[int, str, str]:
        assert self.process.stdin
        assert self.process.stdout
        print(stage, before, file=self.process.stdin, flush=True)
        code, out, error = eval(self.process.stdout.readline())
        return code, out, error

    def worker(self) -> list[psutil.Process]:
        me = str(self.process.pid)
        return [
            p for p in psutil.process_iter(["cmdline"]) if "reside" in (p.info["cmdline"] or []) and me in p.cmdline()
        ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two edits, made by one process a stage."""
    folder = tmp_path_factory.mktemp("resident")
    models = folder / "models"
    tiny_stable_diffusion(models / "stable-diffusion")
    tiny_clip(models / "clip")
    (models / "blip2").mkdir()
    (models / "blip2/config.json").write_text("{}")  # the caption is given
    data = make_project(folder / "project", models)
    data["edits"]["cat--fox"] = {"video": "cat", "prompt": "a fox running"}
    write_params(folder / "project", data)
    shutil.copytree(folder / "project", folder / "fresh")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "project")
        patch.setenv("TAV_TRACKING", "off")
        for name in STAGES:
            run_stage(*name.split("@"))
    return folder


@pytest.fixture
def dvc(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dvc:
    monkeypatch.chdir(shutil.copytree(made / "fresh", tmp_path / "project"))
    return Dvc()


TIMES = re.compile(rb'"(seconds|peak_memory_gb)": [0-9.]+')


def results(project: Path) -> dict[str, bytes]:
    """All files that stages made, without how long it took."""
    files = [file for file in project.glob("artifacts/*/*/**/*") if file.is_file() and file.name != "loss.csv"]
    return {str(file.relative_to(project)): TIMES.sub(b"", file.read_bytes()) for file in files}


def test_same_files_as_from_processes_of_their_own(made: Path, dvc: Dvc) -> None:
    workers = set()
    for name in STAGES:
        code, out, error = dvc.run(name)
        assert (code, error) == (0, ""), error
        workers |= {worker.pid for worker in dvc.worker()}
        assert ("expects" in out) == (name.split("@")[0] in ("tune", "edit"))  # what it prints comes here
    assert len(workers) == 1
    assert results(Path.cwd()) == results(made / "project")
    Path(".dvc/tmp").mkdir(parents=True)
    for name in ("dvc.lock", ".dvc/tmp/rwlock"):  # DVC begins to write them when it is killed
        Path(name).write_text("")
    dvc.process.kill()
    dvc.process.wait()
    wait_for(lambda: not left(Path.cwd()))
    assert not Path("dvc.lock").exists()
    assert not Path(".dvc/tmp/rwlock").exists()
    assert not list(Path("artifacts/.lock").glob("resident-*"))


def test_what_ends_a_worker(dvc: Dvc) -> None:
    assert dvc.run("extract@cat")[0] == 0
    (first,) = dvc.worker()
    assert dvc.run("model")[0] == 0
    assert dvc.worker() == [first]
    assert dvc.run("extract@cat", "os.environ['TAV_DEVICE'] = 'cpu'")[0] == 0  # by a process of its own
    wait_for(lambda: not first.is_running())
    assert dvc.run("model")[0] == 0
    (second,) = dvc.worker()
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("videos/cat.mp4", "videos/none.mp4"))
    code, _, error = dvc.run("extract@cat")
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("error: ")
    wait_for(lambda: not second.is_running())
    Path("params.yaml").write_text(text)
    assert dvc.run("extract@cat", "os.environ['TAV_RESIDENT'] = 'off'")[0] == 0
    assert not dvc.worker()
