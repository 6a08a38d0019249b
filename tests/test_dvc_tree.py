"""What DVC and git see in a clean tree, and of weights that a person puts there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(folder: Path, *command: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DO_NOT_TRACK": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def commit(folder: Path) -> None:
    run(folder, "git", "add", ".")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the repository that DVC reads, committed."""
    folder = tmp_path_factory.mktemp("clean") / "tree"
    shutil.copytree(ROOT / "models", folder / "models")
    for name in ("params.yaml", "dvc.yaml", "recipe.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    run(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    commit(folder)
    return folder


@pytest.mark.parametrize("what", ["metrics", "params"])
def test_nothing_differs_in_a_clean_tree(tree: Path, what: str) -> None:
    said = dvc(tree, what, "diff", "--json")
    assert json.loads(said.splitlines()[0]) == {}
    assert "measured.json" not in said


def test_nobody_hears_of_the_stages_that_train_the_shipped_models(tree: Path) -> None:
    assert "frozen" not in dvc(tree, "status")
    assert "emoji-world/dvc.yaml" not in dvc(tree, "status")


def test_weights_of_your_own_are_kept_by_dvc_and_never_by_git(tree: Path) -> None:
    for name in ("one.safetensors", "two/unet/model.bin", "two/model_index.json", "emoji-world-2/x.ckpt"):
        file = tree / "models" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    new = run(tree, "git", "status", "--short", "--untracked-files=all").split()
    assert not [name for name in new if name.endswith((".safetensors", ".bin", ".ckpt"))]
    dvc(tree, "add", "-q", "models/one.safetensors", "models/two")
    commit(tree)
    kept = {"models/one.safetensors.dvc", "models/two.dvc"}
    tracked = set(run(tree, "git", "ls-files").split())
    assert kept <= tracked
    assert not {"models/one.safetensors", "models/two/model_index.json", "models/emoji-world-2/x.ckpt"} & tracked
    assert "models/emoji-world/clip/model.safetensors" in tracked


def test_dvc_s_plots_are_not_for_git(tree: Path) -> None:
    (tree / "dvc_plots").mkdir()
    (tree / "dvc_plots/index.html").write_text("x")
    assert run(tree, "git", "status", "--short") == ""
