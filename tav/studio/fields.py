"""The settings as the page shows them: made from the schema of params.yaml, so that a new knob shows up by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tav.params import Params, UserError
from tav.params_schema import params_schema

AT_HAND = {
    ("tune", "steps"): "Tuning steps",
    ("tune", "learning_rate"): "Learning rate",
    ("edit", "guidance_scale"): "Guidance",
    ("edit", "strength"): "Strength",
    ("edit", "seed"): "Seed",
}
"""What matters to most, and its label. The rest is folded away."""
FRAMES = {
    ("extract", "start"): "Start",
    ("extract", "num_frames"): "How many frames",
    ("extract", "fps"): "Frames a second",
    ("extract", "stride"): "Every n-th frame",
    ("extract", "size"): "Size",
    ("extract", "fit"): "Where the aspect differs",
}
"""What decides which frames are taken, and its label. The first three are at hand."""
OWNERS = {"extract": "Video", "tune": "Video", "edit": "VideoEdit"}
"""Section -> the type that may have such settings of its own."""


@dataclass(frozen=True)
class Field:
    section: str
    name: str
    label: str
    info: str
    """What it is, its range, and what it is in params.yaml."""
    choices: tuple[str, ...]
    """Empty: it is typed."""
    now: str
    """As params.yaml's section has it."""


def fields(params: Params) -> list[Field]:
    """Every knob that a video or an edit may set for itself."""
    kinds = params_schema()["$defs"]
    result = []
    for section in OWNERS:
        values = getattr(params, section).model_dump(mode="json", by_alias=True)
        known = kinds[section.capitalize()]["properties"]
        knobs = known if section != "edit" else kinds["VideoEdit"]["properties"]
        result += [_field(section, name, known[name], values[name]) for name in known if name in knobs]
    return result


def _field(section: str, name: str, schema: dict[str, Any], value: Any) -> Field:
    kinds = [schema, *schema.get("anyOf", [])]
    choices = [str(word) for kind in kinds for word in kind.get("enum", [])]
    if any(kind.get("type") == "boolean" for kind in kinds):
        choices = ["true", "false"]
    now = as_text(value)
    label = (AT_HAND | FRAMES).get((section, name), name)
    info = f"{schema.get('description', '')} {_range(kinds)}params.yaml: {now}".strip()
    return Field(section, name, label, info, tuple(choices), now)


def _range(kinds: Sequence[dict[str, Any]]) -> str:
    ends = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}"}
    numbers = [{n: end for n, end in kind.items() if n not in ends or end < HUGE} for kind in kinds if _is_number(kind)]
    ranges = [text.format(f"{kind[name]:g}") for kind in numbers for name, text in ends.items() if name in kind]
    return f"({', '.join(dict.fromkeys(ranges))}) " if ranges else ""


PATHS = ("path", "source", "folder", "frames", "first_frame", "picture", "image")
"""Settings that name a file: set in params.yaml alone."""
FREE_TEXT = ("negative_prompt", "kind", "variant")
HUGE = 1e9
"""An end that nobody needs to know."""


def _is_number(kind: dict[str, Any]) -> bool:
    return kind.get("type") in ("integer", "number")


def as_text(value: Any) -> str:
    from tav.commands.yaml_line import in_yaml

    return in_yaml(value) if not isinstance(value, str) else value


def own_settings(fields: Sequence[Field], given: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """What was typed, as a video's and an edit's own: what is empty is as params.yaml has it. Raises UserError."""
    overrides: dict[str, dict[str, Any]] = {section: {} for section in OWNERS}
    for field, text in zip(fields, given, strict=True):
        text = "" if text is None else str(text).strip()
        if text and text != field.now:
            value = _value(field, text)
            if field.name not in FREE_TEXT and _has_path({field.name: value}):
                raise UserError(f"{field.section}.{field.name}: the page takes no paths: set it in params.yaml")
            overrides[field.section][field.name] = value
    return overrides


def _value(field: Field, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):
        raise UserError(f"{field.label}: {text!r} can't be read as a value") from None
    return text if field.choices and not isinstance(value, bool) else value


def _has_path(value: Any) -> bool:
    if isinstance(value, dict):
        return any((key in PATHS and isinstance(part, str)) or _has_path(part) for key, part in value.items())
    if isinstance(value, list):
        return any(map(_has_path, value))
    return isinstance(value, str) and any(sign in value for sign in "/\\")
