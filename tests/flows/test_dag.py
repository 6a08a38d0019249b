import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flow_project import sh

from flows import dag
from flows.dag import Meta
from tav.params import UserError

NAMES = {"data-a.txt.dvc", "first@a", "first@b", "second@a", "second@b", "last"}


def needs(*targets: str) -> dict[str, str]:
    return dict(dag.needs(dag.read(targets)))


def edit_params(key: str) -> None:
    params = json.loads(Path("params.yaml").read_text())
    params["videos"][key]["tune"] = {"steps": 7}
    Path("params.yaml").write_text(json.dumps(params))


def test_a_fresh_project_is_stale_and_in_order(fresh_project: Path) -> None:
    stages = dag.read()
    assert {stage.name for stage in stages} == NAMES
    place = {stage.name: i for i, stage in enumerate(stages)}
    assert all(place[before] < place[stage.name] for stage in stages for before in stage.upstream)
    by_name = {stage.name: stage for stage in stages}
    assert by_name["first@a"].upstream == {"data-a.txt.dvc"}
    assert by_name["last"].upstream == {"second@a", "second@b"}
    assert by_name["first@a"].meta == Meta(pool="gpu", retries=1, timeout=60)
    assert by_name["last"].meta == Meta(pool="cpu", retries=0, timeout=None)
    assert "made/first-a deleted" in by_name["first@a"].changed
    assert {name: need for name, need in dag.needs(stages).items() if need != "stale"} == {
        "data-a.txt.dvc": "up to date"
    }


def test_nothing_is_stale_after_repro(done_project: Path) -> None:
    assert needs() == dict.fromkeys(NAMES, "up to date")
    assert not Path("ran.txt").exists()


def test_what_follows_a_stale_stage_is_maybe(done_project: Path) -> None:
    edit_params("a")
    assert needs() == {
        "data-a.txt.dvc": "up to date",
        "first@a": "stale",
        "first@b": "up to date",
        "second@a": "maybe",
        "second@b": "up to date",
        "last": "maybe",
    }
    assert dag.read(["first@a"])[-1].changed == "params.yaml videos.a.tune modified"


def test_a_changed_file_that_dvc_tracks_is_a_stage(done_project: Path) -> None:
    Path("data-a.txt").write_text("other")
    found = needs("first@a")
    assert found == {"data-a.txt.dvc": "stale", "first@a": "stale"}


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (["second@a"], {"data-a.txt.dvc", "first@a", "second@a"}),
        (["first"], {"data-a.txt.dvc", "first@a", "first@b"}),
        (["first@b", "second@a"], {"data-a.txt.dvc", "first@a", "first@b", "second@a"}),
    ],
)
def test_targets_bring_what_they_need(done_project: Path, targets: list[str], names: set[str]) -> None:
    assert set(needs(*targets)) == names


@pytest.mark.parametrize(
    ("target", "hint"),
    [("frist", "did you mean 'first'?"), ("first@c", "did you mean 'first@b'?"), ("zzz", "there are: data-a.txt.dvc")],
)
def test_an_unknown_target_names_the_nearest(done_project: Path, target: str, hint: str) -> None:
    with pytest.raises(UserError, match="no stage") as error:
        dag.read([target])
    assert hint in str(error.value)
    assert repr(target) in str(error.value)


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ("{pool: tpu}", "meta.pool of last: input should be 'cpu' or 'gpu', got 'tpu'"),
        ("{retries: -1}", "meta.retries of last"),
        ("{timeout: 0}", "meta.timeout of last"),
        ("[1]", "meta of last"),
    ],
)
def test_a_wrong_meta_is_one_line(done_project: Path, meta: str, said: str) -> None:
    Path("dvc.yaml").write_text(Path("dvc.yaml").read_text() + f"    meta: {meta}\n")
    with pytest.raises(UserError) as error:
        dag.read()
    assert said in str(error.value)


def test_what_dvc_cannot_read_is_one_line(done_project: Path) -> None:
    Path("dvc.yaml").write_text("stages: {last: {cmd: 1, comand: 2}}\n")
    with pytest.raises(UserError, match=r"DVC can't read the project: .*dvc\.yaml") as error:
        dag.read()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("dvc.lock", "", "dvc.lock"),
        ("dvc.lock", "null\n", "delete it: `dvc repro` makes it again"),
        ("dvc.lock", "just words\n", "dvc.lock"),
        ("dvc.lock", "schema: '2.0'\nstages: &a {last: *a}\n", "delete it"),
        ("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n", "delete it"),
        ("dvc.lock", "\0", "dvc.lock"),
        ("dvc.yaml", "", "dvc.yaml has no stages"),
        ("dvc.yaml", "params: [params.yaml]\n", "dvc.yaml has no stages"),
        ("dvc.yaml", "stages: {}\n", "dvc.yaml has no stages"),
        ("dvc.yaml", "stages:\n", "dvc.yaml"),
        ("dvc.yaml", "stages: &a {last: *a}\n", "dvc.yaml"),
        ("params.yaml", "videos: &a {a: *a}\n", "recursion"),
    ],
)
def test_a_damaged_file_is_one_line(done_project: Path, file: str, content: str, said: str) -> None:
    Path(file).write_text(content)
    with pytest.raises(UserError) as error:
        dag.read()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_a_long_target_is_not_told_whole(done_project: Path) -> None:
    with pytest.raises(UserError, match="no stage") as error:
        dag.read(["x" * 100_000])
    assert len(str(error.value)) < 300


def test_without_its_lock_a_project_comes_back_from_the_cache(done_project: Path) -> None:
    """What the error advises for a damaged dvc.lock."""
    Path("dvc.lock").unlink()
    sh(sys.executable, "-m", "dvc", "repro", "-q")
    assert not Path("ran.txt").exists()
    assert set(needs().values()) == {"up to date"}


def test_outside_of_a_dvc_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="DVC can't read the project"):
        dag.read()


def test_another_dvc_at_work_is_named(done_project: Path) -> None:
    """DVC marks the files of a running stage with the pid of who runs it."""
    busy = {"write": {str(done_project / "made" / "first-a"): {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
    Path(".dvc/tmp").mkdir(exist_ok=True)
    Path(".dvc/tmp/rwlock").write_text(json.dumps(busy))
    with pytest.raises(UserError, match="another DVC is at work") as error:
        dag.read()
    assert f"PID {os.getpid()}" in str(error.value)
    assert "\n" not in str(error.value)


def test_reading_the_graph_needs_neither_prefect_nor_torch() -> None:
    ask = "import sys, flows.__main__, flows.dag, flows.schedule, flows.process; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert "flows.dag" in told.stdout.split()
    assert not {"prefect", "torch", "dvc"} & {*told.stdout.split()}
