"""What tells rows apart holds for good: neither a new knob nor a new default makes an old row another."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from other_default import default
from ruamel.yaml import YAML
from tracked_project import PARAMS

from tav import params
from tav.params import Params, Section
from tav.record.identity import UNSAID
from tav.record.provenance import RECORDED, Made

SECTIONS = ("base", "extract", "caption", "tune", "invert", "condition", "edit", "evaluate")


def made(name: str, **changed: dict[str, Any]) -> Made:
    """As if dvc.lock had it all in one entry. changed: settings put over the sections of PARAMS."""
    data = YAML(typ="safe", pure=True).load(PARAMS)
    for section, settings in changed.items():
        data[section] |= settings
    used = {section: data[section] for section in SECTIONS}
    used |= {f"compute.{knob}": data["compute"][knob] for knob in RECORDED}
    used |= {f"{table}.{key}": value for table in ("videos", "edits") for key, value in data[table].items()}
    deps = [{"path": "car.mp4", "md5": "c" * 32}, {"path": "sd", "md5": "d" * 32 + ".dir"}]
    return Made(name, {name: {"deps": deps, "outs": [], "params": {"params.yaml": used}}}, params.check(data))


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
    assert made("tune@car").identity == "66d761110ec9546ee8ffdbbe6184d98a"
    assert made(AN_EDIT).identity == "8c2c20b7c41e6fcda0a941267b14f8d6"
    assert made(AN_EDIT, **EVERYTHING).identity == "cadbe910ee2268eccc7380517334b5ac"


def knobs(section: type[Section], name: str) -> Iterator[str]:
    """Each knob of a section that may be left out of params.yaml, by its dotted name."""
    for field, info in section.model_fields.items():
        if not info.is_required():
            yield f"{name}.{field}"
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


@pytest.mark.parametrize("given", [{}, {"seed": 33}, {"seed": 34}])
def test_another_default_makes_no_other_row(given: dict[str, Any]) -> None:
    before = made(AN_EDIT, edit=given)
    with default(params.Edit, "seed", 34):
        after = made(AN_EDIT, edit=given)
        assert after.identity == before.identity
        assert after._sections() == before._sections()
    assert params.Edit().seed == 33


def test_each_value_tells_rows_apart() -> None:
    """Also one that is a default today: that of another row may be it tomorrow."""
    seeds = [made("evaluate@car--panda", edit={"seed": seed}).identity for seed in (33, 34, 35)]
    with default(params.Edit, "seed", 34):
        seeds += [made("evaluate@car--panda", edit={"seed": seed}).identity for seed in (33, 34, 35)]
    assert seeds[:3] == seeds[3:]
    assert len(set(seeds)) == 3
