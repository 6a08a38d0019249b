"""A small real project: git, DVC, a dvc.yaml with foreach, and stages that do what a test tells them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENV = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}

DVC_YAML = """
stages:
  first:
    foreach: ${videos}
    do:
      cmd: python stage.py first@${key} made/first-${key}
      deps: [how/first.py, "data-${key}.txt"]
      params: ["videos.${key}.tune"]
      outs: ["made/first-${key}"]
      meta: {pool: gpu, retries: 1, timeout: 60, colour: red}
  second:
    foreach: ${videos}
    do:
      cmd: python stage.py second@${key} made/second-${key}
      deps: [how/second.py, "made/first-${key}"]
      outs: ["made/second-${key}"]
  last:
    cmd: python stage.py last made/last
    deps: [made/second-a, made/second-b]
    outs: [made/last]
"""

STAGE_PY = """
import os, pathlib, signal, sys, time
name, out = sys.argv[1:]
with open("ran.txt", "a") as file:
    file.write(f"{name} {os.environ['OMP_NUM_THREADS']} {time.time()}\\n")
how = pathlib.Path("how", name.split("@")[0] + ".py")
if how.exists():
    exec(how.read_text())  # what the test wants of this stage
pathlib.Path("made").mkdir(exist_ok=True)
pathlib.Path(out).write_text(name)
"""

PARAMS = {
    "videos": {key: {"path": f"data-{key}.txt", "caption": "a cat", "extract": {}, "tune": {}} for key in "ab"},
    "edits": {},
    "base": {"path": "model"},
    "extract": {},
    "caption": {"model": {"path": "model"}},
    "tune": {},
    "invert": {},
    "edit": {},
    "evaluate": {"clip": {"path": "model"}},
}


def sh(*command: str) -> str:
    done = subprocess.run(command, env={**ENV, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project before anything was made."""
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "how").mkdir()
        (root / "how" / "first.py").write_text("")
        (root / "how" / "second.py").write_text("")
        (root / "data-a.txt").write_text("a")
        (root / "data-b.txt").write_text("b")
        (root / "stage.py").write_text(STAGE_PY)
        (root / "dvc.yaml").write_text(DVC_YAML)
        (root / "params.yaml").write_text(json.dumps(PARAMS))
        sh("git", "init", "-q")
        sh(sys.executable, "-m", "dvc", "init", "-q")
        sh(sys.executable, "-m", "dvc", "add", "-q", "data-a.txt")
    return root


@pytest.fixture(scope="session")
def done(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after `dvc repro`."""
    root = tmp_path_factory.mktemp("template") / "done"
    shutil.copytree(fresh, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        sh(sys.executable, "-m", "dvc", "repro", "-q")
    (root / "ran.txt").unlink()
    return root


@pytest.fixture
def fresh_project(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project before anything was made, as the current folder."""
    return _copy(fresh, tmp_path, monkeypatch)


@pytest.fixture
def done_project(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project where all is made, as the current folder."""
    return _copy(done, tmp_path, monkeypatch)


def _copy(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(template, root)
    monkeypatch.chdir(root)
    return root
