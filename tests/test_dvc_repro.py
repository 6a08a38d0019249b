"""The DAG through the real `dvc repro`, with tiny models: a change runs what it touches, and nothing else."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from project import ROOT, make_models, make_project, write_params
from ruamel.yaml import YAML

OF_CAT = ["extract@cat", "caption@cat", "tune@cat", "invert@cat", "condition@cat"]
OF_EDITS = [f"{stage}@cat--{name}" for name in ("dog", "fox") for stage in ("edit", "evaluate")]


def dvc(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *args]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"  # dvc.yaml's commands say `python`
    env = {
        "PATH": path,
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "TAV_TRACKING": "off",
        "OMP_WAIT_POLICY": "PASSIVE",
        "DO_NOT_TRACK": "1",
    }
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)


def repro(folder: Path) -> list[str]:
    """Run `dvc repro`; the stages that ran, in order."""
    done = dvc(folder, "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"Running stage '(.+)':", done.stdout + done.stderr)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two edits that has been run once."""
    folder = tmp_path_factory.mktemp("repro") / "project"
    data = make_project(folder, make_models(tmp_path_factory.mktemp("models")))
    data["edits"]["cat--fox"] = {"video": "cat", "prompt": "a fox running"}
    write_params(folder, data)
    shutil.copy(ROOT / ".gitignore", folder)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    assert dvc(folder, "init", "-q").returncode == 0
    assert sorted(repro(folder)) == sorted(["model", *OF_CAT, *OF_EDITS, "report"])
    return folder


@pytest.fixture
def data(project: Path) -> dict[str, Any]:
    made: dict[str, Any] = YAML(typ="safe", pure=True).load(project / "params.yaml")
    return made


def test_a_second_time_nothing_runs(project: Path) -> None:
    assert repro(project) == []


def test_a_new_edit_and_own_settings_run_the_edits_concerned(project: Path, data: dict[str, Any]) -> None:
    """And `model`, which takes a second: an edit may have controls of its own, with models of their own."""
    data["edits"]["cat--car"] = {"video": "cat", "prompt": "a car; touch pwned"}
    data["edits"]["cat--dog"]["strength"] = 1.0
    write_params(project, data)
    ran = repro(project)
    assert sorted(ran[1:-1]) == [f"{stage}@cat--{name}" for stage in ("edit", "evaluate") for name in ("car", "dog")]
    assert (ran[0], ran[-1]) == ("model", "report")  # and nothing of cat--fox
    assert not (project / "pwned").exists()


def test_a_raised_recipe_number_runs_its_stage_and_no_other(project: Path) -> None:
    numbers = (project / "recipe.yaml").read_text()
    (project / "recipe.yaml").write_text(numbers.replace("evaluate: 1", "evaluate: 2"))
    stale = dvc(project, "status", "--json").stdout
    (project / "recipe.yaml").write_text(numbers)
    assert {name.partition("@")[0] for name in json.loads(stale)} == {"evaluate"}


def test_each_stage_says_what_it_ran_with(project: Path) -> None:
    for stage, key in (("extract", "cat"), ("tune", "cat"), ("edit", "cat--dog")):
        said = json.loads((project / f"artifacts/{stage}/{key}/settings.json").read_text())
        assert (said["stage"], said["key"], said["device"]) == (stage, key, "cpu")
        assert said["versions"]["torch"] == version("torch")


def test_metrics_and_plots_are_dvcs_own(project: Path) -> None:
    shown = dvc(project, "metrics", "show", "--json").stdout
    assert "frame_consistency" in shown
    assert "vae_psnr" in shown
    assert (
        "loss.csv"
        in dvc(project, "plots", "show", "--json").stdout + dvc(project, "plots", "show", "--show-vega").stdout
    )


def test_a_failed_stage_says_one_line_and_leaves_nothing(project: Path, data: dict[str, Any]) -> None:
    wrong = data["extract"] | {"num_frames": 99}
    write_params(project, data | {"extract": wrong})
    done = dvc(project, "repro")
    assert done.returncode != 0
    assert "too short" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(project.glob("artifacts/**/.tmp-*"))
    write_params(project, data)
    assert repro(project) == []  # what was made before comes back from DVC's cache
