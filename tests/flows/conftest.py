"""Copies of the small real project of flow_project.py, as the current folder."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flow_project import DVC_YAML, ENV, PARAMS, STAGE_PY, sh
from prefect_server import shared_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server, which this process is told of."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with shared_server(folder) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: address}):
            yield address


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project before anything was made."""
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "how").mkdir()
        (root / "how" / "first.py").write_text("# nothing more\n")
        (root / "how" / "second.py").write_text("# nothing more\n")
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


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC runs in this process, and its stages find our Python and no more threads than one."""
    from flows import dvc_api

    for name in ("PATH", "DVC_NO_ANALYTICS"):
        monkeypatch.setenv(name, ENV[name])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("dvc.stage.run.StageCmdFailedError", dvc_api.StageCmdFailedError)  # put back in the end


def _copy(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(template, root)
    monkeypatch.chdir(root)
    return root
