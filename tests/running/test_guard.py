import os
import subprocess
import sys
from pathlib import Path

import pytest

from tav.params import UserError
from tav.running.guard import Guard, guard
from tav.running.inputs import inputs

ROOT = Path(__file__).parents[2]
PARAMS = """\
videos:
  man: {path: man.mp4, caption: a man, tune: {}}
edits:
  man--dog: {video: man, prompt: a dog}
base: {source: sd}
tune: {learning_rate: 3e-5, steps: 5}
"""
DAG = """\
stages:
  tune:
    foreach: ${videos}
    do:
      cmd: "true"
      deps: ["${item.path}", "artifacts/caption/${key}", "${base.source}"]
      params: [{recipe.yaml: [tune]}, "videos.${key}.tune", base, tune]
  edit:
    foreach: ${edits}
    do:
      cmd: "true"
      deps: ["artifacts/tune/${item.video}/weights.safetensors"]
      params: ["edits.${key}"]
  report:
    cmd: "true"
    deps: [artifacts/caption]
    params: [videos]
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tav.running.guard.SETTLE", 0)
    files = ["man.mp4", "artifacts/caption/man/caption.json", "sd/unet/w", "sd/vae/w"]
    for name in [*files, "artifacts/tune/man/weights.safetensors"]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("one")
    Path("params.yaml").write_text(PARAMS)
    Path("dvc.yaml").write_text(DAG)
    Path("recipe.yaml").write_text("tune: 1\n")
    return tmp_path


def edit_params(old: str, new: str) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace(old, new))


def test_inputs_are_what_dvc_yaml_lists() -> None:
    assert inputs("edit", "man--dog") == (
        ["artifacts/tune/man/weights.safetensors"],
        {"params.yaml": {"edits.man--dog": {"video": "man", "prompt": "a dog"}}},
    )
    assert inputs("tune", "man").params == {
        "recipe.yaml": {"tune": 1},
        "params.yaml": {
            "videos.man.tune": {},
            "base": {"source": "sd"},
            "tune": {"learning_rate": 3e-5, "steps": 5},
        },
    }


def test_inputs_of_a_tuning_with_a_control_have_its_models() -> None:
    """dvc.yaml can't list them."""
    beside = ["artifacts/models/condition.json", "artifacts/models/controls.json"]
    before = inputs("tune", "man").deps, inputs("edit", "man--dog").deps, inputs("report", "").deps
    edit_params("tune: {}", "tune: {control: {kind: canny, model: {source: net}}}")
    assert inputs("tune", "man").deps == [*before[0], *beside]
    assert inputs("edit", "man--dog").deps == [*before[1], *beside]
    assert inputs("report", "").deps == before[2]


def test_inputs_are_those_that_dvc_itself_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

    monkeypatch.chdir(ROOT)
    stages = Repo(os.fspath(ROOT)).index.stages
    for stage in (stage for stage in stages if isinstance(stage, PipelineStage)):  # no video that `tav add` tracks
        name, _, key = stage.name.partition("@")
        ours = inputs(name, key)
        params = {(dep.def_path, name) for dep in stage.deps for name in getattr(dep, "params", ())}
        paths = {dep.def_path for dep in stage.deps if not hasattr(dep, "params")}
        assert {(file, name) for file, names in ours.params.items() for name in names} == params, stage.name
        assert set(ours.deps) == paths, stage.name


def test_nothing_changed_is_no_error() -> None:
    with guard("tune", "man"):
        edit_params("a dog", "a cat")  # not this stage's
        edit_params("3e-5", "0.00003")  # the same rate
    with guard("report"):
        pass


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("3e-5", "1e-4", "params.yaml: tune.learning_rate was changed from 3e-05 to 0.0001"),
        ("tune: {}", "tune: {steps: 9}", "params.yaml: videos.man.tune.steps was changed from nothing to 9"),
        (", steps: 5", "", "params.yaml: tune.steps was changed from 5 to nothing"),
    ],
)
def test_a_changed_parameter_is_named(old: str, new: str, said: str) -> None:
    with pytest.raises(UserError) as error, guard("tune", "man"):
        edit_params(old, new)
    assert str(error.value) == f"{said} while tune@man ran: run `dvc repro` again"


@pytest.mark.parametrize(
    ("changed", "dep"),
    [
        ("man.mp4", "man.mp4"),
        ("sd/vae/w", "sd"),
    ],
)
def test_a_changed_file_is_named(changed: str, dep: str) -> None:
    with pytest.raises(UserError) as error, guard("tune", "man"):
        Path(changed).write_text("two")
    assert str(error.value) == f"{dep} was changed while tune@man ran: run `dvc repro` again"


def test_it_looks_while_the_stage_runs() -> None:
    ran = []

    def stage(guarded: Guard) -> None:
        guarded.look(now=True)
        edit_params("3e-5", "1e-4")
        guarded.look(now=False)  # not yet due
        ran.append("on")
        guarded.look(now=True)
        ran.append("too far")

    with pytest.raises(UserError, match=r"3e-05 to 0.0001"), guard("tune", "man") as guarded:
        stage(guarded)
    assert ran == ["on"]


def test_a_file_that_is_being_written_stops_nothing() -> None:
    whole = Path("params.yaml").read_text()
    with guard("tune", "man") as guarded:
        for half in ("videos: {man: ", "", "just words"):
            Path("params.yaml").write_text(half)
            guarded.look(now=True)
        Path("params.yaml").write_text(whole)
    with pytest.raises(UserError, match="is not YAML"), guard("tune", "man"):
        Path("params.yaml").write_text("videos: {man: ")


def edit_much() -> None:
    edit_params("3e-5, steps: 5", "1e-4, steps: 6")
    Path("man.mp4").unlink()


def test_all_changes_in_one_line() -> None:
    with pytest.raises(UserError) as error, guard("tune", "man"):
        edit_much()
    assert str(error.value) == (
        "params.yaml: tune.learning_rate was changed from 3e-05 to 0.0001; "
        "params.yaml: tune.steps was changed from 5 to 6; man.mp4 was changed "
        "while tune@man ran: run `dvc repro` again"
    )


def edit_much_and_fail() -> None:
    edit_much()
    raise ZeroDivisionError


def test_the_error_of_the_stage_itself_goes_its_way() -> None:
    with pytest.raises(ZeroDivisionError), guard("tune", "man"):
        edit_much_and_fail()


@pytest.mark.parametrize(("stage", "key"), [("tune", "mann"), ("tun", "man"), ("tune", "")])
def test_an_unknown_stage_or_key(stage: str, key: str) -> None:
    with pytest.raises(UserError, match="has no "), guard(stage, key):
        pass


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("", r"params\.yaml is empty"),
        ("videos: null", r"videos: is empty: write {} where there is nothing"),
        ("videos: [man]", r"videos: expected names and their values, got \['man'\]"),
        ("man", r"expected names and their values, got 'man'"),
        ("videos: {1: {}}", r"no 'man' under `videos`; there are: 1"),
    ],
)
def test_videos_that_are_no_table(params: str, said: str) -> None:
    Path("params.yaml").write_text(params)
    with pytest.raises(UserError, match=said):
        inputs("tune", "man")


@pytest.mark.parametrize("dag", ["", "stages:", "stages: [tune]", "tune"])
def test_a_dvc_yaml_without_stages(dag: str) -> None:
    Path("dvc.yaml").write_text(dag)
    with pytest.raises(UserError, match=r"dvc\.yaml has no stages"):
        inputs("tune", "man")


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, tav.running.guard; sys.exit(any(name in sys.modules for name in ('dvc', 'torch', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
