"""The project that benchmarks/scale.py measures: what it says is made, DVC finds made."""

import sys
from pathlib import Path

import pytest

from flows import dag

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_all_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(BENCHMARKS)])
    from scale_project import make_all, make_project

    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, 1)
    assert make_all() == 13
    assert {stage.name: stage.changed for stage in dag.read() if stage.changed} == {}
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("of the kind 0", "of the kind 9", 1))
    assert {stage.name for stage in dag.read() if stage.changed} == {
        "model",
        "edit@video-0000--0",
        "evaluate@video-0000--0",
        "report",
    }
