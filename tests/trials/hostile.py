"""Values that are meant to do harm, for each knob of params.yaml as its schema has it: such as fit, and others."""

import datetime
import json
import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

SCHEMA = json.loads((Path(__file__).parents[2] / "tav/params.schema.json").read_text())
CANARY = "canary"
"""What no command may make."""
SNIPPETS = [
    *(f"$(touch {CANARY})", f"`touch {CANARY}`", f"; touch {CANARY};", f"| touch {CANARY} &", f"&& touch {CANARY} #"),
    *(f"' ; touch {CANARY} ; '", f'" ; touch {CANARY} ; "', f"\ntouch {CANARY}\n", f"> {CANARY}", f"../../{CANARY}"),
    *("${videos}", "${item.path}", "%(x)s", "{{ key }}", "{% raw %}", "\\", "'", '"', '"""', "<script>x</script>"),
    *("null", "~", "- a", "a: b", "#", "!!python/object:os.system", "&a *a", "[bold]", "--help", "-rf /", "*", "?"),
    *(
        "مرحبا",
        "你好",
        "שלום",
        "नमस्ते",
        "สวัสดี",
        "🙂👩\u200d🚀",
        "e\u0301",
        "\u202eabc",
        "\ufeff",
        "\uff46\uff55",
        "\U000e0041",
    ),
]
ODD: list[Any] = [
    *(True, False, "", "yes", "1", [], {}, [1], {"a": 1}, [[]], {"../x": {}}, datetime.date(2026, 1, 1), b"bytes"),
    *(math.nan, math.inf, -math.inf, 10**400, -(10**30), 2**63, -1, 0, 0.5, 1e308, 1e-320, "x" * 100_000),
    *SNIPPETS,
]

characters = st.characters(exclude_categories=("Cs", "Cc"))
texts = st.builds(
    lambda parts, end: ("".join(parts) + end).strip()[:2000].strip() or end,
    st.lists(st.one_of(st.sampled_from(SNIPPETS), st.text(characters, max_size=20)), max_size=6),
    st.sampled_from(["x", "猫", "'", "$"]),
)
"""Such as a prompt may be."""
refused_texts = st.one_of(
    st.builds(lambda text, odd: f"a{odd}{text}", st.text(characters), st.sampled_from("\0\x07\x1b\x7f\x9b\ud800")),
    st.sampled_from([2001, 10_000]).map(lambda size: "x" * size),
)
"""Such as none may be."""
of_names = st.characters(categories=("L", "M", "N"), include_characters="-_")
names = st.text(of_names, min_size=1, max_size=64).filter(lambda name: len(name.encode()) <= 200)
refused_names = st.one_of(
    st.sampled_from(["", ".", "..", "../x", "a/b", "a.b", "a@b", "a b", "a" * 65, "猫" * 64 + "a", "\n", *SNIPPETS]),
    st.text(min_size=1).filter(
        lambda name: any(unicodedata.category(c)[0] not in "LMN" for c in name if c not in "-_")
    ),
).filter(lambda name: not _is_name(name))


def _is_name(text: str) -> bool:
    fits = all(c in "-_" or unicodedata.category(c)[0] in "LMN" for c in text)
    return fits and 1 <= len(text) <= 64 and len(text.encode(errors="replace")) <= 200


class Knob(NamedTuple):
    """A value of params.yaml that is no table."""

    path: tuple[str, ...]
    schema: dict[str, Any]

    @property
    def place(self) -> str:
        """As an error names it."""
        return ".".join(self.path)


def knobs() -> Iterator[Knob]:
    """All of them; of videos and edits those of one that is called `v`, and of one that is called `e`."""
    for name, schema in SCHEMA["properties"].items():
        inside = schema.get("patternProperties")
        if inside:
            yield from _within((name, name[0]), *inside.values())
        else:
            yield from _within((name,), schema)


def _within(path: tuple[str, ...], schema: dict[str, Any]) -> Iterator[Knob]:
    whole = _resolved(schema)
    if "properties" in whole and len(path) < 4:
        for name, part in whole["properties"].items():
            yield from _within((*path, name), part)
    else:
        yield Knob(path, whole)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any] | None:
    """Values that a knob takes, at and within its ranges. None where they hang together with others."""
    options = [_resolved(option) for option in schema.get("anyOf", [schema])]
    found = [strategy for option in options if (strategy := _of_type(option)) is not None]
    return st.one_of(found) if found else None


def _of_type(schema: dict[str, Any]) -> st.SearchStrategy[Any] | None:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "integer":
            low, high = _range(schema, 1)
            return st.one_of(st.sampled_from([low, high]), st.integers(low, high))
        case "number":
            low, high = _range(schema, 1e-9)
            return st.one_of(st.sampled_from([low, high]), st.floats(low, high))
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "string":
            return None if "pattern" in schema else texts
    return None


def _range(schema: dict[str, Any], step: float) -> tuple[Any, Any]:
    """The least and the most of a number."""
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0 if step == 1 else 0.0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", 10**6))
    return low + step * ("exclusiveMinimum" in schema), high - step * ("exclusiveMaximum" in schema)


def refused(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a knob must refuse: of other types, past its range, texts that can't be shown."""
    options = [_resolved(option) for option in schema.get("anyOf", [schema])]
    past = [value for option in options for value in _past(option)]
    strange = st.one_of(st.sampled_from([None, *ODD, *past]), refused_texts, st.floats(), st.integers())
    return strange.filter(lambda value: not any(_may_fit(value, option) for option in options))


def _past(schema: dict[str, Any]) -> Iterator[Any]:
    """The nearest values outside of a range."""
    whole = schema.get("type") == "integer"
    for name, sign in (("minimum", -1), ("maximum", 1)):
        if name in schema:
            yield schema[name] + sign if whole else math.nextafter(schema[name], sign * math.inf)
    yield from (schema[name] for name in ("exclusiveMinimum", "exclusiveMaximum") if name in schema)


def _may_fit(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a knob may take a value. Of tables and lists: whether it is one."""
    if "enum" in schema:
        return value in schema["enum"] and isinstance(value, str)
    match schema.get("type"):
        case "integer":
            return type(value) is int and _in_range(value, schema)
        case "number":
            return type(value) in (int, float) and _in_range(value, schema)
        case "boolean":
            return type(value) is bool
        case "null":
            return value is None
        case "string":
            return isinstance(value, str) and _may_be_text(value, schema)
        case "array":
            return isinstance(value, list)
    return isinstance(value, dict)


def _may_be_text(value: str, schema: dict[str, Any]) -> bool:
    shown = all(unicodedata.category(c) not in ("Cc", "Cs") or c in "\t\n\r" for c in value)
    return shown and schema.get("minLength", 0) <= len(value.strip()) <= 2000


def _in_range(value: float, schema: dict[str, Any]) -> bool:
    if not -1e300 < value < 1e300:
        return False
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and not value <= schema.get("exclusiveMinimum", -math.inf)
        and not value >= schema.get("exclusiveMaximum", math.inf)
    )
