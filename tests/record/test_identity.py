"""What tells rows apart holds for good: neither a new knob nor a new default makes an old row another."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from other_default import default
from ruamel.yaml import YAML
from tracked_project import PARAMS

from tav import params
from tav.artifacts import model_record, write_json
from tav.params import Params, Section
from tav.record.identity import UNSAID
from tav.record.provenance import OF_AN_EDIT, RECORDED, Result
from tav.settings import OF_EDITS, STAGES, settings_of

SECTIONS = ("base", "extract", "caption", "tune", "invert", "condition", "edit", "evaluate")


def made(name: str, **changed: dict[str, Any]) -> Result:
    """As if it had been made with PARAMS. changed: settings put over its sections."""
    data = YAML(typ="safe", pure=True).load(PARAMS)
    for section, settings in changed.items():
        data[section] |= settings
    asked, key = params.check(data), name.partition("@")[2]
    video = key if name.startswith("tune") else asked.video_edit(key).video
    stages = STAGES if name.startswith("evaluate") else ("extract", "caption", "tune")
    settings = {stage: settings_of(asked, stage, key if stage in OF_EDITS else video) for stage in stages}
    extract = {"deps": [{"path": f"{video}.mp4", "md5": "c" * 32}], "outs": []}
    return Result(name, {f"extract@{video}": extract}, settings)


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for model in ("base", "blip2", *OF_AN_EDIT):
        write_json(model_record(model), [{"source": model}])


AN_EDIT = "evaluate@cat--dog"
EVERYTHING = {
    "base": {"source": "hub:a/b", "loras": [{"source": "x.safetensors", "scale": 0.5}, {"source": "y.safetensors"}]},
    "compute": {"token_merging": 0.5, "precision": "auto"},
    "extract": {"fps": 8.0, "start": 1.5, "fit": "crop"},
    "caption": {"model": {"source": "hub:c/blip2@main"}},
    "invert": {"prompt": ""},
    "edit": {"from": "noise", "strength": 0.5, "negative_prompt": "blurry"},
    "evaluate": {"pick_score": {"source": "hub:c/d"}},
}


def test_rows_that_are_in_stores_already_keep_their_identity() -> None:
    assert made("tune@car").identity == "3a0823030ac092060ea1f16549e4516b"
    assert made(AN_EDIT).identity == "1b914625dc9b305fdfe81d8a0e8948fc"
    assert made(AN_EDIT, **EVERYTHING).identity == "3e6b89c9e7af60af241206dd2f2cb693"


def knobs(section: type[Section], name: str) -> Iterator[str]:
    """Each knob of a section that may be left out of params.yaml, by its dotted name."""
    for field, info in section.model_fields.items():
        if not info.is_required():
            yield f"{name}.{info.alias or field}"
        for inner in _sections_in(info.annotation):
            yield from knobs(inner, f"{name}.{field}")


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)


def test_every_knob_has_a_line() -> None:
    """A new knob: add to UNSAID what was so before it came."""
    there = {name for section in SECTIONS for name in knobs(Params.model_fields[section].annotation, section)}
    assert there | {f"compute.{name}" for name in RECORDED} == UNSAID.keys()


def test_another_default_makes_no_other_row() -> None:
    before = made("evaluate@car--panda")
    identity = before.identity
    with default(params.Edit, "seed", 34):
        assert Result("evaluate@car--panda", before.entries, before.settings).identity == identity
        assert made("evaluate@car--panda").identity != identity  # made with another seed
    assert params.Edit().seed == 33


def test_a_result_from_before_a_knob_came_keeps_its_row() -> None:
    """Its settings.json has no such knob; what is made now, with the value that was so before, is the same."""
    old = copy.deepcopy(made(AN_EDIT, extract={"reader": "decord"}))
    identity = old.identity
    for stage, section, knob in (("edit", "edit", "controls"), ("extract", "extract", "reader")):
        del old.settings[stage]["sections"][section][knob]
    assert Result(AN_EDIT, old.entries, old.settings).identity == identity


def test_each_value_tells_rows_apart() -> None:
    """Also one that is a default today: that of another row may be it tomorrow."""
    seeds = [made("evaluate@car--panda", edit={"seed": seed}).identity for seed in (33, 34, 35)]
    with default(params.Edit, "seed", 34):
        seeds += [made("evaluate@car--panda", edit={"seed": seed}).identity for seed in (33, 34, 35)]
    assert seeds[:3] == seeds[3:]
    assert len(set(seeds)) == 3
    car, cat = (made(f"tune@{video}").identity for video in ("car", "cat"))
    Path(model_record("base")).write_text("another")
    assert made("tune@car").identity not in (car, cat)
