"""The weights that a stage uses are those that the stage `model` saw, from its start to its end."""

from pathlib import Path
from typing import Any

from tav.artifacts import MODELS, model_record, read_json
from tav.hashes import what_is_at
from tav.params import Params, UserError, check, split_source


def parts_of(deps: list[str]) -> dict[str, dict[str, Any]]:
    """Source -> what the stage `model` found there, of all models among a stage's dependencies.

    Nothing of a record that is not there: DVC runs no stage without it, and a stage by hand says what it lacks first.
    """
    records = [path for path in map(Path, deps) if path.parent == MODELS and path.exists()]
    return {part["source"]: part for path in records for part in read_json(path)}


def unlisted(stage: str, key: str, params: dict[str, Any]) -> list[str]:
    """Records of models that a stage uses and dvc.yaml can't list, since DVC has no dependencies under a condition.

    Those of a tuning with a control, and of the edits with what it tuned, which look whether it is still the same
    (`check_tuned_under`). params: params.yaml as it was read.
    """
    video = key if stage == "tune" else params["edits"][key]["video"] if stage == "edit" else None
    own = (params["videos"].get(video) or {}).get("tune") or {}
    control = {**params["tune"], **own}.get("control") if video else None
    return [str(model_record(name)) for name in ("condition", "controls")] if control else []


def on_disk(parts: dict[str, dict[str, Any]]) -> list[str]:
    """The sources that are paths."""
    return [source for source in parts if not split_source(source)[0]]


def check_weights(parts: dict[str, dict[str, Any]]) -> None:
    """Raises UserError where a path holds another thing than the stage `model` saw."""
    for source in on_disk(parts):
        if what_is_at(source) != parts[source]:
            raise UserError(
                f"{source} was changed since the stage `model` looked: run `dvc repro -f model`, then go on"
            )


def pinned(params: Params, parts: dict[str, dict[str, Any]]) -> Params:
    """Params where each branch or tag of the hub is the commit that the stage `model` found."""
    commits = {
        source: f"hub:{split_source(source)[0]}@{part['commit']}" for source, part in parts.items() if part["commit"]
    }
    return (
        check(_replaced(params.model_dump(mode="json", by_alias=True, exclude_unset=True), commits))
        if commits
        else params
    )


def _replaced(data: Any, values: dict[str, str]) -> Any:
    """`data` with other values of `source` and `config`, wherever they stand."""
    if isinstance(data, dict):
        return {
            key: values.get(part, part)
            if key in ("source", "config") and isinstance(part, str)
            else _replaced(part, values)
            for key, part in data.items()
        }
    return [_replaced(part, values) for part in data] if isinstance(data, list) else data
