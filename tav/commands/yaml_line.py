"""Values as YAML on one line."""

import io
import json
from typing import Any


def in_yaml(value: Any) -> str:
    """A value on one line, plain where YAML reads a plain text as the same text."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{in_braces(name)}: {in_braces(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(in_braces, value)) + "]"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, dict | list):
        return _collection(value)
    return _as_ruamel(value) if value and value.isprintable() else quoted(value)


def _collection(value: "dict[str, Any] | list[Any]") -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(in_braces, value))}]"
    return "{" + ", ".join(f"{in_braces(name)}: {in_braces(part)}" for name, part in value.items()) + "}"


def _number(value: float) -> str:
    """As JSON has it, but with a point, without which YAML 1.1 takes 3e-05 for a text."""
    digits, _, exponent = json.dumps(value).partition("e")
    if not exponent or value in (True, False):
        return json.dumps(value)
    return f"{digits}{'' if '.' in digits else '.0'}e{int(exponent)}"


def in_braces(value: Any) -> str:
    """A value within braces, where commas and brackets say something."""
    plain = in_yaml(value)
    return quoted(value) if isinstance(value, str) and (plain != value or set(value) & set(",[]{}:?#")) else plain


def inline(name: str, values: dict[str, Any]) -> str:
    """An entry of a mapping in braces."""
    return f"{in_braces(name)}: {{{', '.join(f'{field}: {in_braces(value)}' for field, value in values.items())}}}"


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
