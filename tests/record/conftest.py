import shutil
import subprocess
from pathlib import Path

import pytest
from tracked_project import dvc, make_tracked_project

from tav.params import load
from tav.record.tracking import record

SECRET = "not-for-any-record"
"""In the environment, and in git's and DVC's settings, while the project is made and recorded."""


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after `dvc repro` and `tav record`. Its dvc.yaml is the real one, less the report."""
    folder = tmp_path_factory.mktemp("project")
    make_tracked_project(folder)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "remote", "add", "origin", f"https://me:{SECRET}@example.org/x"], check=True)
        dvc("init")
        dvc("remote", "add", "-d", "store", "s3://bucket/x")
        dvc("remote", "modify", "--local", "store", "secret_access_key", SECRET)
        dvc("repro")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "made"], check=True)
        assert str(record(load())) == "MLflow: 2 edits, 2 tunings (4 new)"
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to change."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder
