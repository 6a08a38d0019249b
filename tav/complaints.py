"""What pydantic finds wrong, in sentences that a person can act on."""

import difflib
import re
import sys
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known) or 'none'}"


def complaints(error: ValidationError, model: type[BaseModel], place: str = "", only: Any = None) -> list[str]:
    """One short sentence for each thing that is wrong (of `only` these keys, and of what they are together)."""
    said = []
    for e in error.errors():
        if only is not None and e["loc"] and e["loc"][0] not in only:
            continue
        names = [str(part) for part in e["loc"] if not str(part).startswith(("[key]", "constrained-", "tuple["))]
        where = ".".join([place, *names] if place else names)
        if e["type"] == "extra_forbidden":
            fields = _fields_at(model, e["loc"][:-1])
            said.append(f"{where}: unknown key{nearest(str(e['loc'][-1]), fields)}")
        elif e["type"] == "value_error":
            said.append(f"{where}: {e['ctx']['error']}" if where else str(e["ctx"]["error"]))
        elif e["type"] == "missing":
            said.append(f"{where}: is missing")
        elif "[key]" in e["loc"] or e["type"] == "string_pattern_mismatch":
            said.append(f"{where}: {e['input']!r} can't be a name: use 1 to 64 letters, digits, '-' and '_'")
        else:
            said.append(f"{where}: {e['msg'][0].lower()}{e['msg'][1:]}, got {e['input']!r}")
    return said


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The names that may stand at a place of params.yaml."""
    for part in loc:
        field = model.model_fields.get(str(part))
        kinds = re.findall(r"tav\.params\.(\w+)", str(field.annotation)) if field else []
        if kinds:
            model = getattr(sys.modules["tav.params"], kinds[-1])
    return [f.alias or n for n, f in model.model_fields.items()]
