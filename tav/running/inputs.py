"""What dvc.yaml lists for a stage: what DVC will put on record.

DVC's own reader is not asked. It would take each stage half a second to import, it refuses a folder without `.dvc`, and
it is not documented. tests/running/test_guard.py compares the two for every stage of dvc.yaml.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from tav.complaints import nearest
from tav.params import UserError, check, read_yaml
from tav.running.weights import unlisted

ABSENT = "nothing"
"""Stands for a value that is not there."""


class Inputs(NamedTuple):
    deps: list[str]
    """Paths, relative to the project. With those that dvc.yaml can't list (`unlisted`)."""
    params: dict[str, dict[str, Any]]
    """File (params.yaml, recipe.yaml) -> dotted name -> value."""


def inputs(stage: str, key: str) -> Inputs:
    """Read dvc.yaml and params.yaml of the current folder. key: "" for a stage that has none. Raises UserError."""
    entry, params = entry_of(stage), read_yaml(Path("params.yaml"))
    scope = params
    if "foreach" in entry:
        item = _item(entry["foreach"], key, params)
        scope = {**params, "key": key, "item": item}
        entry = entry["do"]
    names: dict[str, list[str]] = {"params.yaml": []}
    for listed in entry.get("params", []):
        if isinstance(listed, dict):
            names |= listed
        else:
            names["params.yaml"].append(_filled(listed, scope))
    files = {file: params if file == "params.yaml" else read_yaml(Path(file)) for file in names}
    values = {file: {name: _at(files[file], name) for name in names[file]} for file in names}
    deps = [_filled(dep, scope) for dep in entry["deps"]]
    return Inputs([*deps, *unlisted(stage, key, params)], values)


def entry_of(stage: str) -> dict[str, Any]:
    """What dvc.yaml says of a stage. Raises UserError."""
    dag = read_yaml(Path("dvc.yaml"))
    stages = dag.get("stages") if isinstance(dag, dict) else None
    if not isinstance(stages, dict):
        raise UserError("dvc.yaml has no stages: bring it back from git, or copy it from a new project (`tav init`)")
    if stage not in stages:
        raise UserError(f"dvc.yaml has no stage {stage!r}; there are: {', '.join(stages)}")
    entry: dict[str, Any] = stages[stage]
    return entry


def _item(foreach: str, key: str, params: Any) -> Any:
    """What params.yaml has under a key of the table that a stage runs for, as in `${videos}`."""
    items = _at(params, foreach[2:-1])
    if not isinstance(items, dict):
        check(params)  # says what is wrong there
        items = {}
    if key not in items:
        raise UserError(f"params.yaml has no {key!r} under `{foreach[2:-1]}`{nearest(key, items)}")
    return items[key]


def _filled(text: str, scope: Any) -> str:
    """The text with what lies at a.b in the place of `${a.b}`, as DVC fills it in."""
    return re.sub(r"\$\{([^}]+)\}", lambda name: str(_at(scope, name[1])), text)


def _at(data: Any, name: str) -> Any:
    for part in name.split("."):
        data = data.get(part, ABSENT) if isinstance(data, dict) else ABSENT
    return data
