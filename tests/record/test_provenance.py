"""dvc.lock as it should not be."""

from pathlib import Path

import pytest

from tav.params import UserError
from tav.record.provenance import Stale, read_lock, upstream


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", [None, "", "schema: '2.0'\n", "stages:\n", "stages: {}\n"])
def test_nothing_is_made_yet(text: str | None) -> None:
    if text is not None:
        Path("dvc.lock").write_text(text)
    assert read_lock() == {}


@pytest.mark.parametrize(
    "text",
    [
        "just words\n",
        "[1, 2]\n",
        "stages: 3\n",
        "stages: {tune@a: 3}\n",
        "stages: {tune@a: {deps: 3}}\n",
        "stages: {tune@a: {deps: [{path: x}]}}\n",
        "stages: {tune@a: {outs: [x]}}\n",
        "<<<<<<< HEAD\nstages: {}\n=======\n",
    ],
)
def test_a_damaged_one_is_told(text: str) -> None:
    Path("dvc.lock").write_text(text)
    with pytest.raises(UserError, match=r"^dvc\.lock is (damaged|not YAML)"):
        read_lock()


def test_a_circle_is_no_way_to_make_something() -> None:
    a = {"deps": [{"path": "y", "md5": "2"}], "outs": [{"path": "x", "md5": "1"}]}
    b = {"deps": [{"path": "x", "md5": "1"}], "outs": [{"path": "y", "md5": "2"}]}
    with pytest.raises(Stale, match="made from itself"):
        upstream({"tune@a": a, "invert@a": b}, "tune@a")


def test_two_ways_to_one_stage_are_no_circle() -> None:
    frames = {"outs": [{"path": "frames", "md5": "1"}]}
    tuned = {"deps": [{"path": "frames", "md5": "1"}], "outs": [{"path": "weights", "md5": "2"}]}
    edited = {"deps": [{"path": "weights", "md5": "2"}, {"path": "frames", "md5": "1"}]}
    lock = {"extract@a": frames, "tune@a": tuned, "edit@b": edited}
    assert [*upstream(lock, "edit@b")] == ["extract@a", "tune@a", "edit@b"]
