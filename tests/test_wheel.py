"""A wheel and a clone agree: a project made from the wheel, away from the clone, runs its DAG."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from imports import ROOT
from ruamel.yaml import YAML


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed. What tav depends on comes from the environment."""
    made = tmp_path_factory.mktemp("wheel")
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():  # a clean copy: no build folder of an earlier time
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (made / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, made / "clone" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(made), str(made / "clone")]
    subprocess.run([*pip, *build], check=True)
    shutil.rmtree(made / "clone")
    (wheel,) = made.glob("tav-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(made / "site"), str(wheel)], check=True)
    return made / "site"


def test_a_project_from_a_wheel_runs_its_dag(site: Path, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # dvc.yaml's commands say `python`
    env = {**os.environ, "PYTHONPATH": str(site), "PATH": path, "TAV_TRACKING": "off"}

    def run(folder: Path, *command: str) -> str:
        done = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = run(tmp_path, "tav", "init", "videos of mine", "--demo")
    assert "made a project in videos of mine" in where
    project = tmp_path / "videos of mine"
    data = YAML(typ="safe", pure=True).load(project / "params.yaml")
    data["videos"] = {"red-car": data["videos"]["red-car"]}
    data["edits"] = {"red-car--blue": data["edits"]["red-car--blue"]}
    data["extract"]["num_frames"], data["tune"]["steps"], data["invert"]["num_inference_steps"] = 2, 2, 2
    with (project / "params.yaml").open("w") as file:
        YAML().dump(data, file)
    imported = [sys.executable, "-c", "import tav; print(tav.__file__)"]
    assert subprocess.run(imported, cwd=project, env=env, capture_output=True, text=True).stdout.startswith(str(site))
    run(project, "dvc", "repro")
    assert (project / "artifacts/edit/red-car--blue/video.mp4").stat().st_size > 1000
    assert (project / "artifacts/report/index.html").exists()
    assert "up to date" in run(project, "dvc", "status")
    assert "artifacts/report/index.html" in run(project, "tav", "table")
