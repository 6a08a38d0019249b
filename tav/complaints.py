"""What a person is told: errors that they can mend, in words of one line, cleaned of what a terminal would obey."""

import difflib
import re
import reprlib
import unicodedata
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

SHOWN = 12
"""Complaints and names that are listed; the rest is counted."""
JOINERS = "\u200c\u200d"
"""Not printable by themselves, but parts of words and emoji."""
LONG = re.compile(r"\S{240,}")
"""No word and no path that is meant."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 72
_SHORT.maxlong = 40


class UserError(Exception):
    """What a person can mend: says what was got, what was expected and what to do, in one line."""


def one_line(text: str, most: int = 2000) -> str:
    """A text on one line, at most so many characters, with what isn't printable as escapes and endless words cut.

    So neither a terminal's escape sequences nor NUL reach the screen, whoever wrote the text.
    """
    words = " ".join(text[: 4 * most].split())
    clean = "".join(c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in words)
    clean = LONG.sub(lambda word: f"{word[0][:160]}…{word[0][-40:]}", clean)
    return clean if len(clean) <= most and len(text) <= 4 * most else f"{clean[: most - 1]}…"


def quoted(value: Any) -> str:
    """A value as it is quoted in an error: Python's notation, in one short line."""
    try:
        return one_line(_SHORT.repr(value), 100)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of thousands of digits"


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name."""
    names = [one_line(str(name), 64) for name in known]
    near = difflib.get_close_matches(word, names, n=1) if len(word) <= 64 else []
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {listed(names, ', ') or 'none'}"


def listed(parts: list[str], between: str) -> str:
    """The first of some parts, and how many more there are."""
    more = [f"and {len(parts) - SHOWN} more"] if len(parts) > SHOWN else []
    return between.join([*parts[:SHOWN], *more])


def control_in(text: str) -> str | None:
    """The first character of a text that a terminal obeys (ESC, NUL, ...) or that no file can hold; None where none is.

    Not those that break a line. What Python's Unicode doesn't know yet, such as the newest emoji, is none of them.
    """
    return next((c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r"), None)


def dotted(*names: Any) -> str:
    """Where in params.yaml something stands: names with dots between, odd ones quoted."""
    return ".".join(n if isinstance(n, str) and n.isprintable() and 0 < len(n) <= 64 else quoted(n) for n in names)


def complaints(error: ValidationError, model: type[BaseModel], within: str = "", only: Any = None) -> list[str]:
    """One short sentence for each thing that is wrong (of `only` these keys, and of what they are together)."""
    lines = []
    for e in error.errors(include_url=False):
        if only is not None and e["loc"] and e["loc"][0] not in only:
            continue
        names = [part for part in e["loc"] if not str(part).startswith(("[key]", "constrained-", "tuple["))]
        where = ".".join(filter(None, [within, dotted(*names)]))
        sentence = _sentence(e, model)
        lines.append(f"{where}: {sentence}" if where else sentence)
    return lines


def _sentence(e: Any, model: type[BaseModel]) -> str:
    """What one error of pydantic says, without where."""
    if e["type"] == "extra_forbidden":
        return f"unknown key{nearest(str(e['loc'][-1]), _fields_at(model, e['loc'][:-1]))}"
    if e["type"] == "missing":
        return "is missing"
    if "[key]" in e["loc"] or e["type"] in ("string_pattern_mismatch", "invalid_key"):
        in_quotes = "" if isinstance(e["input"], str) else ", in quotes where they look like a number"
        return f"{quoted(e['input'])} can't be a name: use 1 to 64 letters, digits, '-' and '_'{in_quotes}"
    if e["type"] == "value_error":
        return one_line(str(e["ctx"]["error"]), 300)
    if e["type"] in ("dict_type", "model_type"):
        if e["input"] is not None:
            return f"expected names and their values, got {quoted(e['input'])}"
        return "is empty: write {} where there is nothing" if e["type"] == "dict_type" else "is empty"
    advice = ": put it in quotes" if e["type"] == "string_type" and e["input"] is not None else ""
    return f"{e['msg'][0].lower()}{e['msg'][1:]}, got {quoted(e['input'])}{advice}"


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The names that may stand at a place of params.yaml."""
    for part in loc:
        field = model.model_fields.get(str(part))
        kinds = _models_in(field.annotation) if field else []
        if kinds:
            model = kinds[-1]
    return [f.alias or n for n, f in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a type is made of, as in `tuple[Lora, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
