"""`tav init` and `tav upgrade`: a project in any folder, and an older one brought up to date."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from imports import ROOT

from tav.commands.init import FILES, make_project
from tav.commands.upgrade import upgrade
from tav.params import UserError, load
from tav.recipe import numbers


def status(folder: Path) -> str:
    command = [sys.executable, "-m", "dvc", "status"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_demo_is_this_repository_as_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "deep/er/my videos"
    said = make_project(folder, demo=True)
    assert said[0] == f"made a project in {folder}"
    for name in FILES:
        clone = (ROOT / name).read_text().replace("tav/params.schema.json", "params.schema.json")
        assert (folder / name).read_text() == clone, name
    assert (folder / "params.schema.json").read_text() == (ROOT / "tav/params.schema.json").read_text()
    for place in ("videos/red-car.mp4", "models/emoji-world/clip/model.safetensors"):
        assert (folder / place).read_bytes() == (ROOT / place).read_bytes()
    assert "extract@red-car" in status(folder)
    assert (folder / ".git").is_dir()


def test_without_the_demo_it_is_set_to_real_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path / "p", demo=False)
    monkeypatch.chdir(tmp_path / "p")
    params = load()
    assert (params.videos, params.edits) == ({}, {})
    assert params.base.source == "hub:stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert (params.tune.steps, params.tune.learning_rate, params.edit.guidance_scale) == (500, 3e-5, 12.5)
    assert "# px of the short side" in Path("params.yaml").read_text()
    assert "report" in status(tmp_path / "p")  # the DAG of no videos can be read


def test_within_a_git_repository_it_uses_that(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    make_project(tmp_path / "videos of mine", demo=False)
    assert not (tmp_path / "videos of mine/.git").exists()
    assert (tmp_path / "videos of mine/.dvc/config").exists()


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine too")
    with pytest.raises(UserError, match=r"holds params\.yaml already"):
        make_project(tmp_path, demo=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "params.yaml"]


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_left_of_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    folder = tmp_path / "new/project"
    if there:
        folder.mkdir(parents=True)
        (folder / "notes.txt").write_text("mine")
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    with pytest.raises((UserError, OSError), match="git"):
        make_project(folder, demo=False)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == (
        ["new", "new/project", "new/project/notes.txt"] if there else []
    )


def test_upgrade_says_first_what_will_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path / "p", demo=True)
    monkeypatch.chdir(tmp_path / "p")
    assert upgrade(write=False) == ["this project is up to date with this tav"]
    old = Path("recipe.yaml").read_text().replace("tune: ", "tune: 9")
    Path("recipe.yaml").write_text(old)
    Path("dvc.yaml").write_text(Path("dvc.yaml").read_text() + "# mine\n")
    said = upgrade(write=False)
    assert said[0].startswith("tune: ")
    assert "dvc.yaml.old" in said[1]
    assert "tune 3" in said[2]
    assert Path("recipe.yaml").read_text() == old
    assert "# mine" in Path("dvc.yaml").read_text()
    assert not Path("dvc.yaml.old").exists()
    assert upgrade(write=True)[-1] == "upgraded: now run `dvc repro`"
    assert Path("recipe.yaml").read_text() == (ROOT / "recipe.yaml").read_text()
    assert "# mine" in Path("dvc.yaml.old").read_text()


def test_upgrade_of_a_project_older_than_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path / "p", demo=False)
    monkeypatch.chdir(tmp_path / "p")
    Path("recipe.yaml").unlink()
    assert f"extract: no number -> {numbers()['extract']}" in upgrade(write=False)
    assert not Path("recipe.yaml").exists()
    Path("models/README.md").unlink()
    Path("models").rmdir()
    new = Path("params.yaml").read_text()
    source = "source: hub:stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert source in new
    Path("params.yaml").write_text(
        new.replace(source, "path: models\n  hub_id: stable-diffusion-v1-5/stable-diffusion-v1-5")
    )
    said = upgrade(write=True)
    assert "params.yaml: path, hub_id and revision of a model become one key, source" in said
    assert load().base.source == source.removeprefix("source: ")
    assert Path("models/README.md").exists()
    assert Path("recipe.yaml").exists()


def test_upgrade_brings_the_sections_that_a_project_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dvc.yaml names them as parameters, and DVC wants them to be there."""
    make_project(tmp_path / "p", demo=True)
    monkeypatch.chdir(tmp_path / "p")
    whole = Path("params.yaml").read_text()
    block = next(b for b in re.split(r"^(?=[a-z])", whole, flags=re.MULTILINE) if b.startswith("condition:"))
    Path("params.yaml").write_text(whole.replace(block, ""))
    old = Path("params.yaml").read_text()
    assert upgrade(write=False)[0] == "params.yaml: condition is new, at its end"
    assert Path("params.yaml").read_text() == old
    upgrade(write=True)
    assert Path("params.yaml").read_text() == old + block
    assert upgrade(write=False) == ["this project is up to date with this tav"]
