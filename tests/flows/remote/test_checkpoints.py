"""Checkpoints on DVC's remote, which is a folder here."""

from pathlib import Path

import pytest
from flow_project import sh

from flows.remote import checkpoints
from flows.remote.checkpoints import drop, load, save


@pytest.fixture
def kept(fresh_project: Path, tmp_path: Path) -> Path:
    """The folder of a key's checkpoints, with two and one half written."""
    sh("dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    folder = fresh_project / "checkpoints/a"
    (folder / "samples/x").mkdir(parents=True)
    (folder / "step-000001.safetensors").write_text("one")
    (folder / "samples/x/000001.png").write_text("picture")
    (folder / ".step-000002.partial").write_text("tw")
    return folder


def stored(tmp_path: Path) -> set[str]:
    place = tmp_path / "store/tav/rev/a"
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def test_checkpoints_go_and_come_back(kept: Path, tmp_path: Path) -> None:
    first = save("a", "rev", {})
    assert set(first) == stored(tmp_path) == {"step-000001.safetensors", "samples/x/000001.png"}
    (kept / "step-000001.safetensors").unlink()
    (kept / "step-000002.safetensors").write_text("two")
    second = save("a", "rev", first)
    assert set(second) == {"step-000002.safetensors", "samples/x/000001.png"}
    assert stored(tmp_path) == {*first, *second}, "who reads the first list still finds its files"
    save("a", "rev", second)
    assert stored(tmp_path) == set(second)

    for path in [*kept.glob("*.*"), kept / "samples/x/000001.png"]:
        path.unlink()
    assert set(load("a", "rev", second)) == set(second)
    assert (kept / "step-000002.safetensors").read_text() == "two"
    assert load("a", "rev", second) == []
    assert not [path for path in kept.parent.rglob("*") if path.name.startswith(".tmp-")]
    drop("a", "rev")
    drop("", "rev")
    assert stored(tmp_path) == set()


def test_a_checkpoint_that_was_damaged_on_the_way_does_not_count(kept: Path, tmp_path: Path) -> None:
    listed = save("a", "rev", {})
    (tmp_path / "store/tav/rev/a/step-000001.safetensors").write_text("on")
    (kept / "step-000001.safetensors").unlink()
    assert load("a", "rev", listed) == []
    assert not (kept / "step-000001.safetensors").exists()


def test_a_remote_that_is_away_is_one_line(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sh("dvc", "remote", "modify", "store", "url", "/proc/nowhere")
    assert checkpoints.main("save", "a", "rev", "{}") == 75
    said = capsys.readouterr().err
    assert said.startswith("checkpoints of a: ")
    assert said.count("\n") == 1
