"""The truth of the record: a stage fails when what it reads was changed while it ran.

DVC writes parameters to dvc.lock as they are when a stage ends. Without this guard, an edit of params.yaml under a
running stage would put a learning rate on record that the weights were not tuned with.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tav.complaints import nearest, one_line
from tav.params import UserError, check, read_yaml
from tav.running.weights import check_weights, on_disk, parts_of

EVERY = 60.0
"""Seconds between two looks while a stage runs."""
SETTLE = 1.0
"""Seconds that a file which differs is given until it is read again: it may be half written."""
_GONE = "nothing"


class Inputs(NamedTuple):
    """What dvc.yaml lists for one stage and key: what DVC will put on record."""

    deps: list[str]
    """Paths, relative to the project."""
    params: dict[str, dict[str, Any]]
    """File (params.yaml, recipe.yaml) -> dotted name -> value."""


def inputs(stage: str, key: str) -> Inputs:
    """Read dvc.yaml and params.yaml of the current folder. key: "" for a stage that has none. Raises UserError."""
    params, dag = read_yaml(Path("params.yaml")), read_yaml(Path("dvc.yaml"))
    stages = dag.get("stages") if isinstance(dag, dict) else None
    if not isinstance(stages, dict):
        raise UserError("dvc.yaml has no stages: bring it back from git, or copy it from a new project (`tav init`)")
    if stage not in stages:
        raise UserError(f"dvc.yaml has no stage {stage!r}; there are: {', '.join(stages)}")
    entry, scope = stages[stage], params
    if "foreach" in entry:
        items = _resolve(entry["foreach"], params)
        if not isinstance(items, dict):
            check(params)  # says what is wrong there
            items = {}
        if key not in items:
            raise UserError(f"params.yaml has no {key!r} under `{entry['foreach'][2:-1]}`{nearest(key, items)}")
        entry, scope = entry["do"], {**params, "key": key, "item": items[key]}
    listed = entry.get("params", [])
    names = {"params.yaml": [_resolve(name, scope) for name in listed if isinstance(name, str)]}
    for others in listed:
        names |= others if isinstance(others, dict) else {}
    values = {file: params if file == "params.yaml" else read_yaml(Path(file)) for file in names}
    found = {file: {name: _at(values[file], name) for name in wanted} for file, wanted in names.items()}
    return Inputs([_resolve(dep, scope) for dep in entry["deps"]], found)


@contextmanager
def guard(stage: str, key: str = "") -> Iterator[Callable[[bool], None]]:
    """Compare what the stage reads before and after. Enter it before anything is read for the stage.

    Yields `look(now)`, which compares in between, so that hours are not spent on what will be refused: at most once a
    minute, or (now=True) at once. Raises UserError, naming each parameter and file that was changed. What the block
    raises goes its way.
    """
    before = inputs(stage, key)
    weights = parts_of(before.deps)
    watched = [*before.deps, *on_disk(weights)]
    prints = {dep: fingerprint(Path(dep)) for dep in watched}
    check_weights(weights)
    last = time.monotonic()

    def changes() -> list[str]:
        after = inputs(stage, key)
        found = [
            f"{file}: {name} was changed from {one_line(str(old), 80)} to {one_line(str(new), 80)}"
            for file, listed in before.params.items()
            for leaf, value in listed.items()
            for name, old, new in differences(value, after.params[file].get(leaf, _GONE), leaf)
        ]
        return found + [f"{dep} was changed" for dep in watched if fingerprint(Path(dep)) != prints[dep]]

    def look(now: bool) -> None:
        nonlocal last
        if now or time.monotonic() - last >= EVERY:
            last = time.monotonic()
            if _unless_half_written(changes):
                time.sleep(SETTLE)
                refuse(_unless_half_written(changes))

    def refuse(found: list[str]) -> None:
        if found:
            raise UserError(f"{'; '.join(found)} while {stage}{'@' * bool(key)}{key} ran: run `dvc repro` again")

    yield look
    refuse(changes())


def _unless_half_written(changes: Callable[[], list[str]]) -> list[str]:
    """What was changed; nothing while an editor is writing a file."""
    try:
        return changes()
    except (UserError, OSError):
        return []


def fingerprint(path: Path) -> dict[str, tuple[int, int]]:
    """Each file of a path -> its size and time: enough to tell a change, of data that may be large."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = {str(file): file.stat() for file in files if file.is_file()}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def differences(old: Any, new: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, old value, new value) of each leaf that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from differences(old.get(key, _GONE), new.get(key, _GONE), f"{name}.{key}")
    elif old != new:
        yield name, old, new


def _resolve(text: str, scope: Any) -> Any:
    """`${a.b}` gives what lies there; within a longer text it is put in its place. As DVC does."""
    if whole := re.fullmatch(r"\$\{([^}]+)\}", text):
        return _at(scope, whole[1])
    return re.sub(r"\$\{([^}]+)\}", lambda found: str(_at(scope, found[1])), text)


def _at(data: Any, name: str) -> Any:
    for part in name.split("."):
        data = data.get(part, _GONE) if isinstance(data, dict) else _GONE
    return data
