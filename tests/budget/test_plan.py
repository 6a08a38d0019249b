"""What work is expected to take, and what is done about it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from counted_once import counted_once
from project import make_models, make_project
from tiny_controls import tiny_controlnet, tiny_ip_adapter
from typer.testing import CliRunner

from tav.__main__ import app
from tav.budget import expectation
from tav.budget.plan import GB, Machine, Savings, Work, announce, choose, expect, machine
from tav.commands.expected import Expected, Taken
from tav.commands.plan import print_plan, works
from tav.model.pretrained import load_shapes
from tav.model.size import Size
from tav.params import Params, UserError, check


@pytest.fixture(scope="module", autouse=True)
def each_step_once() -> Iterator[None]:
    """The real network takes a step once for each kind of step: many tests ask of the same."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("expect_tuning", "expect_sampling"):
            patch.setattr(expectation, name, counted_once(getattr(expectation, name)))
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, make_models(tmp_path_factory.mktemp("models")))
    return folder


@pytest.fixture
def data(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    from tav.params import read_yaml

    monkeypatch.chdir(project)
    loaded: dict[str, Any] = read_yaml(project / "params.yaml")
    return loaded


@pytest.fixture(scope="module")
def shapes(project: Path) -> Any:
    from tav.params import read_yaml

    return load_shapes(read_yaml(project / "params.yaml")["base"]["source"])


TUNE = Work("tune", "cat", 8, Size(64, 64))
EDIT = Work("edit", "cat--dog", 8, Size(64, 64), guided=True)


def between(params: Params, work: Work, shapes: Any, less: Savings, more: Savings) -> Machine:
    """A machine that has room for the way that saves more, and not for the other."""
    needs = [expect(params, work, savings, shapes, Machine("cpu", 0)).memory("cpu") for savings in (less, more)]
    return Machine("cpu", sum(needs) / 2)


@pytest.mark.parametrize(
    ("work", "saved"),
    [(TUNE, Savings(gradient_checkpointing=True)), (EDIT, Savings(split_guidance=True))],
    ids=["tune", "edit"],
)
def test_memory_is_saved_only_where_it_must(data: dict[str, Any], shapes: Any, work: Work, saved: Savings) -> None:
    params = check(data)
    assert choose(params, work, shapes, Machine("cpu", 99 * GB))[0] == Savings()
    tight = between(params, work, shapes, Savings(), saved)
    assert choose(params, work, shapes, tight)[0] == saved
    data["compute"]["memory"] = "max"
    assert choose(check(data), work, shapes, tight)[0] == Savings()


def test_a_cap_below_what_is_there(data: dict[str, Any], shapes: Any) -> None:
    data["compute"]["memory"] = "12gb"
    large = Work("tune", "cat", 44, Size(512, 512))
    assert choose(check(data), large, shapes, Machine("cpu", 999 * GB))[0].gradient_checkpointing
    data["compute"]["memory"] = "24gb"
    assert not choose(check(data), large, shapes, Machine("cpu", 999 * GB))[0].gradient_checkpointing


def test_what_the_person_set_is_kept(data: dict[str, Any], shapes: Any) -> None:
    data["tune"]["gradient_checkpointing"] = True
    assert choose(check(data), TUNE, shapes, Machine("cpu", 99 * GB))[0].gradient_checkpointing
    data["tune"]["gradient_checkpointing"] = False
    tight = between(check(data), TUNE, shapes, Savings(), Savings(gradient_checkpointing=True))
    with pytest.raises(UserError, match=r"would fit: tune\.gradient_checkpointing: null"):
        choose(check(data), TUNE, shapes, tight)


def test_fewer_frames_would_fit(data: dict[str, Any], shapes: Any) -> None:
    params, saved = check(data), Savings(gradient_checkpointing=True)
    half = expect(params, Work("tune", "cat", 4, Size(64, 64)), saved, shapes, Machine("cpu", 0)).memory("cpu")
    with pytest.raises(UserError, match=r"would fit: extract\.num_frames: 4"):
        choose(params, TUNE, shapes, Machine("cpu", half))


def test_advice_alone_is_enough(data: dict[str, Any], shapes: Any) -> None:
    """What is advised fits with all else as it was set: without gradient checkpointing, where that is set so."""
    data["tune"]["gradient_checkpointing"] = False
    params = check(data)
    floor = expect(params, replace(TUNE, num_frames=1), Savings(gradient_checkpointing=True), shapes, Machine("cpu", 0))
    half = expect(params, replace(TUNE, num_frames=4), Savings(), shapes, Machine("cpu", 0)).memory("cpu")
    whole = expect(params, TUNE, Savings(gradient_checkpointing=True), shapes, Machine("cpu", 0)).memory("cpu")
    assert floor.memory("cpu") < min(half, whole)
    with pytest.raises(UserError) as refused:
        choose(params, TUNE, shapes, Machine("cpu", min(half, whole - 1)))
    (frames,) = re.findall(r"would fit: extract\.num_frames: (\d+)$", str(refused.value))
    fewer = expect(params, replace(TUNE, num_frames=int(frames)), Savings(), shapes, Machine("cpu", 0)).memory("cpu")
    assert fewer <= min(half, whole - 1)


def test_a_stage_stops_before_it_starts(data: dict[str, Any], shapes: Any) -> None:
    with pytest.raises(UserError, match=r"edit@cat--dog is expected to need \d+.* there are \d+"):
        announce(check(data), replace(EDIT, num_frames=1024, size=Size(2048, 2048)), shapes)


def test_controls_of_edits_and_tunings_are_in_the_plan(data: dict[str, Any], shapes: Any, tmp_path: Path) -> None:
    base = Path(data["base"]["source"])
    net = tiny_controlnet(tmp_path / "net", base)
    data["condition"] = {"kinds": ["canny"]}
    data["edits"]["cat--dog"]["controls"] = [{"kind": "canny", "model": {"source": str(net)}}]
    *_, work = works(check(data), shapes)

    def needs(*asked: Work) -> list[float]:
        return [expect(check(data), w, Savings(), shapes, Machine("cpu", 0)).memory("cpu") for w in asked]

    with_it, without = needs(work, replace(work, networks=()))
    assert with_it > without
    data["videos"]["cat"]["tune"] = {"control": data["edits"]["cat--dog"]["controls"][0]}
    tuning, inverting, _ = works(check(data), shapes)
    assert (len(tuning.networks), inverting.networks) == (1, ())
    tuned_with, tuned_without = needs(tuning, replace(tuning, networks=()))
    assert tuned_with > tuned_without
    data["videos"]["cat"]["tune"] = {}
    adapter = {"source": str(tiny_ip_adapter(tmp_path / "ip", base))}
    data["edits"]["cat--dog"]["reference"] = {"picture": "not-looked-at.png", "model": adapter}
    *_, work = works(check(data), shapes)
    assert expect(check(data), work, Savings(), shapes, Machine("cpu", 0)).memory("cpu") > with_it
    data["edits"]["cat--dog"]["controls"][0]["model"]["source"] = str(base / "unet")
    with pytest.raises(UserError, match="is a UNet2DConditionModel; expected a ControlNetModel or a T2IAdapter"):
        list(works(check(data), shapes))


def test_the_command(data: dict[str, Any]) -> None:
    result = CliRunner().invoke(app, ["plan"])
    assert result.exit_code == 0
    for work in works(check(data), None):
        assert f"{work.stage}@{work.key}" in result.output
    assert re.search(r"In all about \d+ s of computing, one after the other\.", result.output)
    assert not Path("artifacts").exists()


def test_prior_pictures_take_time(data: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Where the base draws them, and a little in each step."""

    def seconds(asked: dict[str, Any] | None) -> float:
        data["tune"]["prior_pictures"] = asked
        print_plan(check(data))
        found = re.search(r"In all about ([\d.]+) (s|min|h)", capsys.readouterr().out)
        assert found
        return float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]]

    number = {"prompt": "a cat", "number": 10_000, "steps": 1000}
    without, drawn = seconds(None), seconds(number)
    assert drawn > 5 * max(without, 60)
    assert seconds(number | {"folder": "models/cats"}) < drawn / 5


def test_the_command_says_what_is_too_much(data: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """tune@dog is tuned as tune@cat is, but keeps all activations."""
    data["compute"]["memory"] = "12gb"
    data["extract"] |= {"num_frames": 64, "size": [512, 512]}
    data["videos"]["dog"] = data["videos"]["cat"] | {"tune": {"gradient_checkpointing": False}}
    print_plan(check(data))
    printed = capsys.readouterr().out
    assert re.search(r"tune@dog .* too much .* This would fit: ", printed)
    assert re.search(r"tune@cat .* \d+\.\d GB .* gradient checkpointing", printed)
    assert "without what is too much" in printed


def test_what_was_found_is_kept_for_the_next_plan(data: dict[str, Any]) -> None:
    params, on = check(data), machine()
    listed = list(works(params, None))

    def asked(params: Params) -> tuple[list[Taken], bool]:
        """What is expected, and whether the network was asked for it."""
        expected = Expected(params, on)
        found = [expected.of(work) for work in listed]
        expected.keep()
        return found, "shapes" in vars(expected)

    assert asked(params)[1]
    assert asked(params)[1]  # where no project is, nothing is kept
    Path(".dvc/tmp").mkdir(parents=True)
    found = asked(params)[0]
    assert asked(params) == (found, False)
    data["tune"]["official_checkpointing"] = True
    assert asked(check(data))[1]
