"""A project as `tav init` makes it: params.yaml in a git and a DVC repository."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_video

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def _fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "project"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, check=True)
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


@pytest.fixture
def project(_fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project, in which the test runs."""
    folder = shutil.copytree(_fresh, tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video outside of the project."""
    return tiny_video(tmp_path / "My Cat.mp4")


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """A folder of images outside of the project."""
    from PIL import Image

    folder = tmp_path / "walk"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (32, 24), (i, 0, 0)).save(folder / f"{i}.png")
    return folder
