"""DVC's own repro and ours make the same stages, in the same order, and leave the same dvc.lock."""

import inspect
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import dvc.repo.reproduce
import pytest

from flows import dvc_api, dvc_repro


def test_the_pieces_are_where_they_were() -> None:
    assert dvc.repo.reproduce._reproduce is dvc_repro.reproduce
    assert "repro_fn(stage, upstream=upstream, force=force_stage" in inspect.getsource(dvc_repro._by_dvc)
    assert "%s' didn't change, skipping" in inspect.getsource(dvc.stage.Stage.reproduce)


def nothing() -> None:
    pass


def code_of_the_first() -> None:
    Path("how/first.py").write_text("# other words, same results\n")


def code_of_the_second() -> None:
    Path("how/second.py").write_text("# other words\n")


def other_results() -> None:
    Path("how/first.py").write_text("name += ' again'\n")


def a_parameter() -> None:
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace('"tune": {}', '"tune": {"steps": 1}', 1))


def a_result_that_is_gone() -> None:
    Path("made/second-a").unlink()


def a_result_by_hand() -> None:
    Path("made/first-b").write_text("by hand")


def data() -> None:
    Path("data-a.txt").write_text("another")


def a_stage_that_fails() -> None:
    Path("how/first.py").write_text("if name == 'first@a': sys.exit(3)\n")


def a_change_while_it_runs() -> None:
    """Of what a later stage reads, which did not change until then."""
    Path("how/first.py").write_text("if name == 'first@b': pathlib.Path('how/second.py').write_text('# new')\n")


def another_at_work() -> None:
    code_of_the_first()
    busy = {str(Path("made/second-b").absolute()): {"pid": os.getppid(), "cmd": "dvc x"}}
    Path(".dvc/tmp/rwlock").write_text(json.dumps({"write": busy, "read": {}}))


CHANGES = [
    nothing,
    code_of_the_first,
    code_of_the_second,
    other_results,
    a_parameter,
    a_result_that_is_gone,
    a_result_by_hand,
    data,
    a_stage_that_fails,
    a_change_while_it_runs,
    another_at_work,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_same_is_made(
    done_project: Path,
    run_here: None,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[], None],
) -> None:
    told = []
    for repro in (dvc_repro.reproduce, dvc_repro._by_dvc):
        project = done_project.with_name(f"by-{len(told)}")
        shutil.copytree(done_project, project, symlinks=True)
        monkeypatch.chdir(project)
        monkeypatch.setattr(dvc.repo.reproduce, "_reproduce", repro)
        change()
        code = dvc_api.command(["repro", "-q", *["--keep-going"] * (change is a_stage_that_fails)])
        ran = [line.split()[0] for line in Path("ran.txt").read_text().splitlines()] if Path("ran.txt").exists() else []
        told.append(
            (code, ran, Path("dvc.lock").read_bytes(), {p.name: p.read_bytes() for p in Path("made").iterdir()})
        )
    assert told[0] == told[1]
    assert bool(told[0][1]) == (change not in (nothing, a_result_that_is_gone, a_result_by_hand))
