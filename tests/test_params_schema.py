"""The schema of params.yaml is what the types give, explains every setting and refuses what tav refuses."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tav.artifacts import read_json
from tav.params import read_yaml
from tav.params_schema import FILE, params_schema

ROOT = Path(__file__).parents[1]
SCHEMA = params_schema()


@pytest.fixture
def data() -> dict[str, Any]:
    shipped: dict[str, Any] = read_yaml(ROOT / "params.yaml")
    return shipped


def places(data: dict[str, Any]) -> set[str]:
    """Where the schema finds something wrong."""
    return {error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(data)}


def test_the_file_is_what_the_types_give() -> None:
    assert read_json(FILE) == SCHEMA, "the types of tav/params have changed: run `python -m tav.params_schema`"


def test_params_yaml_names_it() -> None:
    first = (ROOT / "params.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={FILE.relative_to(ROOT)}"


def test_every_setting_is_explained() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    kinds = {"params.yaml": SCHEMA, **SCHEMA["$defs"]}
    fields = {f"{kind}.{name}": field for kind, at in kinds.items() for name, field in at["properties"].items()}
    assert len(fields) > 60
    sections = {f"params.yaml.{name}" for name, field in SCHEMA["properties"].items() if "$ref" in field}
    assert not [name for name, field in fields.items() if not field.get("description") and name not in sections]
    bare = [name for name in sections if not kinds[fields[name]["$ref"].split("/")[-1]].get("description")]
    assert not bare


def test_the_shipped_file_is_right(data: dict[str, Any]) -> None:
    data["edits"]["red-car--blue"] |= {"strength": 0.5, "from": "noise", "seed": None}
    data["videos"]["red-car"]["extract"] = {"size": [64, 32], "fps": 8}
    assert places(data) == set()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("tune.step", 3),
        ("tune.steps", -1),
        ("tune.learning_rate", "fast"),
        ("tune.learning_rate", 0),
        ("compute.memory", "13gb"),
        ("extract.size", [64]),
        ("base.loras", [{"scale": 1.0}]),
        ("edits.red-car--blue.strength", 1.5),
        ("edits.red-car--blue.from", "nowhere"),
        ("videos.red-car.tune", {"stepz": 3}),
    ],
)
def test_what_is_wrong_is_marked_where_it_stands(data: dict[str, Any], place: str, value: Any) -> None:
    *sections, name = place.split(".")
    at = data
    for section in sections:
        at = at[section]
    at[name] = value
    (found,) = places(data)
    assert found.startswith(f"$.{sections[0]}")


def test_a_name_that_tav_refuses(data: dict[str, Any]) -> None:
    data["videos"]["a b"] = data["videos"]["red-car"]
    assert places(data) == {"$.videos"}
