"""The entries of one dvc.lock put into another, byte for byte as `dvc repro` would have written them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


def merged(text: str, entries: Mapping[str, Entry], first: Iterable[str], order: Sequence[str]) -> str:
    """dvc.lock's text with these entries put in, each under its stage's name.

    first: the names that keep their place (those of the commit that the run started from). The others come after
    them, in `order`: that in which `dvc repro` makes the stages.
    """
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    data: Any = parse_yaml_for_update(text, "dvc.lock")
    if not data:
        data = {"schema": "2.0"}
    stages = {**data.get("stages", {}), **entries}
    keep = [name for name in first if name in stages]
    place = {name: index for index, name in enumerate([*keep, *(n for n in order if n not in keep)])}
    data["stages"] = {name: stages[name] for name in sorted(stages, key=lambda name: place.get(name, len(place)))}
    dumped: str = dumps_yaml(data)
    return dumped


def entries_of(text: str) -> dict[str, Entry]:
    """Stage -> what dvc.lock says of it. {} of an empty text."""
    from dvc.utils.serialize import parse_yaml_for_update

    stages: Mapping[str, Entry] = parse_yaml_for_update(text, "dvc.lock").get("stages", {}) if text else {}
    return dict(stages)


def names_in(text: str) -> list[str]:
    """The stages of a dvc.lock, in its order. Reads lines: parsing a large one takes seconds."""
    body = re.split(r"^stages:\n", text, maxsplit=1, flags=re.M)[-1]
    return re.findall(r"^  ['\"]?([^ '\"#].*?)['\"]?:$", body, flags=re.M)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def write(path: Path, text: str) -> None:
    """Atomically."""
    fresh = path.with_name(f".tmp-{path.name}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
