"""The JSON schema of params.yaml, by which an editor completes the settings, explains them and marks what is wrong.

`python -m tav.params_schema` writes it anew to tav/params.schema.json. The first line of a params.yaml names that file.
"""

from pathlib import Path
from typing import Any

from tav.artifacts import write_json
from tav.params import Edit, Extract, Params, Tune, VideoEdit

FILE = Path(__file__).with_name("params.schema.json")
Schema = dict[str, Any]


def params_schema() -> Schema:
    """JSON schema (draft 2020-12) of params.yaml, from the types of tav.params; docstrings are the descriptions.

    A video's own `extract` and `tune`, and what an edit sets of its own, are free in the types, because they are
    checked where they lie over the section. Here they are the section's fields.
    """
    schema = Params.model_json_schema()
    kinds: dict[str, Schema] = schema["$defs"]
    for part, section in {"extract": Extract, "tune": Tune}.items():
        free = kinds["Video"]["properties"][part]
        kinds["Video"]["properties"][part] = {
            "description": free["description"],
            "$ref": f"#/$defs/{section.__name__}",
        }
    ours = kinds[VideoEdit.__name__]["properties"]
    for name, setting in kinds[Edit.__name__]["properties"].items():
        if name in ours:
            ours[name] = _optional(setting)
    for names in ("videos", "edits"):
        schema["properties"][names]["additionalProperties"] = False  # what fits no pattern can't be a name
    named = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "params.yaml"}
    whole: Schema = _without_titles(schema)
    return named | whole


def _optional(setting: Schema) -> Schema:
    """A setting of a section where null means: as in the section."""
    kind = {name: value for name, value in setting.items() if name not in ("description", "default", "title")}
    return {"description": setting["description"], "anyOf": [kind, {"type": "null"}], "default": None}


def _without_titles(schema: Any) -> Any:
    """pydantic's titles repeat the names of the fields; a property that is called "title" would stay."""
    if isinstance(schema, list):
        return [_without_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: _without_titles(v) for k, v in schema.items() if k != "title" or not isinstance(v, str)}


def main() -> None:
    write_json(FILE, params_schema())


if __name__ == "__main__":
    main()
