"""What is removed from params.yaml spoils no clone: the real report in a project whose other stages are quick."""

import subprocess
from pathlib import Path

import pytest
from tracked_project import PARAMS, change, dvc, make_tracked_project

from tav.params import check, load
from tav.record.tracking import record
from tav.running.aside import put_aside

AN_EDIT = "  car--panda: {video: car, prompt: a panda}\n"


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=True)


def publish() -> None:
    git("add", ".")
    git("commit", "-qm", "made")
    dvc("push")


def is_up_to_date(capfd: pytest.CaptureFixture[str]) -> bool:
    from dvc.cli import main

    capfd.readouterr()
    assert main(["status"]) == 0
    return "up to date" in capfd.readouterr().out


def test_a_removed_edit_spoils_no_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    first, clone = tmp_path / "first", tmp_path / "clone"
    first.mkdir()
    make_tracked_project(first, report=True)
    monkeypatch.chdir(first)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    git("init", "-q")
    dvc("init")
    dvc("remote", "add", "-d", "there", str(tmp_path / "remote"))
    dvc("repro")
    publish()
    change(AN_EDIT, "")
    dvc("repro")
    assert Path("artifacts/removed/edit/car--panda/video.mp4").is_file()
    assert Path("artifacts/removed/evaluate/car--panda/metrics.json").is_file()
    assert is_up_to_date(capfd)
    publish()
    git("clone", "-q", str(first), str(clone))
    monkeypatch.chdir(clone)
    dvc("pull")
    assert is_up_to_date(capfd)
    assert "car--panda" not in Path("artifacts/report/index.html").read_text()
    assert str(record(load())) == "MLflow: 1 edits, 2 tunings (3 new); 1 left out: params.yaml has them no more"
    monkeypatch.chdir(first)
    git("checkout", "-q", "HEAD~1")  # it comes back
    dvc("checkout")
    dvc("repro")
    assert Path("artifacts/edit/car--panda/video.mp4").is_file()


def test_only_what_nobody_asks_for_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ruamel.yaml import YAML

    monkeypatch.chdir(tmp_path)
    params = check(YAML(typ="safe", pure=True).load(PARAMS))
    names = (
        "edit/car--panda",
        "edit/old",
        "extract/car",
        "extract/old",
        "evaluate/.tmp-x",
        "report",
        "removed/edit/old",
    )
    for name in names:
        (tmp_path / "artifacts" / name).mkdir(parents=True)
        (tmp_path / "artifacts" / name / "file").write_text(name)
    assert put_aside(params) == ["extract/old", "edit/old"]
    there = {file.parent.relative_to("artifacts").as_posix() for file in Path("artifacts").rglob("file")}
    assert there == {*names} - {"edit/old", "extract/old"} | {"removed/edit/old", "removed/extract/old"}
    assert Path("artifacts/removed/edit/old/file").read_text() == "edit/old"
    assert put_aside(params) == []
