"""Values as YAML on one line."""

import io
from typing import Any


def in_yaml(value: Any) -> str:
    """A value on one line, plain where YAML reads a plain text as the same text."""
    if value is None or value == {}:
        return "null" if value is None else "{}"
    return _as_ruamel(value) if value.isprintable() else quoted(value)


def inline(name: str, values: dict[str, Any]) -> str:
    """An entry of a mapping in braces."""
    fields = ", ".join(f"{k}: {quoted(v) if isinstance(v, str) else in_yaml(v)}" for k, v in values.items())
    return f"{quoted(name)}: {{{fields}}}"


def quoted(value: str) -> str:
    """A text in double quotes; what doesn't show is written by its number."""
    return '"' + "".join(_escaped(letter) for letter in value) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return (
        letter if letter.isprintable() else f"\\U{ord(letter):08x}" if ord(letter) > 0xFF else f"\\x{ord(letter):02x}"
    )


def _as_ruamel(value: str) -> str:
    from ruamel.yaml import YAML

    yaml, out = YAML(), io.StringIO()
    yaml.width = 1 << 20
    yaml.dump({"x": value}, out)
    return out.getvalue().removeprefix("x: ").removesuffix("\n")
