"""The truth of the record: a stage fails when what it reads was changed while it ran.

DVC writes parameters and code to dvc.lock as they are when a stage ends. Without this guard, an edit of params.yaml
under a running stage would put a learning rate on record that the weights were not tuned with.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tav.complaints import nearest
from tav.params import UserError, read_yaml

CODE = Path("tav")
_GONE = "nothing"


class Inputs(NamedTuple):
    """What dvc.yaml lists for one stage and key: what DVC will put on record."""

    deps: list[str]
    """Paths, relative to the project."""
    params: dict[str, Any]
    """Dotted name in params.yaml -> value."""


def inputs(stage: str, key: str) -> Inputs:
    """Read dvc.yaml and params.yaml of the current folder. key: "" for a stage that has none. Raises UserError."""
    params, stages = read_yaml(Path("params.yaml")), read_yaml(Path("dvc.yaml"))["stages"]
    if stage not in stages:
        raise UserError(f"dvc.yaml has no stage {stage!r}; there are: {', '.join(stages)}")
    entry, scope = stages[stage], params
    if "foreach" in entry:
        items = _resolve(entry["foreach"], params)
        if key not in items:
            raise UserError(f"params.yaml has no {key!r} under `{entry['foreach'][2:-1]}`{nearest(key, items)}")
        entry, scope = entry["do"], {**params, "key": key, "item": items[key]}
    names = [_resolve(name, scope) for name in entry.get("params", [])]
    return Inputs([_resolve(dep, scope) for dep in entry["deps"]], {name: _at(params, name) for name in names})


@contextmanager
def guard(stage: str, key: str = "") -> Iterator[None]:
    """Compare what the stage reads before and after. Enter it before anything is read or imported for the stage.

    Raises UserError, naming each parameter and file that was changed. What the block raises goes its way.
    """
    before = inputs(stage, key)
    prints = {dep: fingerprint(Path(dep)) for dep in before.deps}
    yield
    after = inputs(stage, key)
    changed = [
        f"params.yaml: {name} was changed from {old} to {new}"
        for listed in before.params
        for name, old, new in differences(before.params[listed], after.params.get(listed, _GONE), listed)
    ]
    changed += [f"{dep} was changed" for dep in before.deps if fingerprint(Path(dep)) != prints[dep]]
    if changed:
        raise UserError(f"{'; '.join(changed)} while {stage}{'@' * bool(key)}{key} ran: run `dvc repro` again")


def fingerprint(path: Path) -> dict[str, str]:
    """Each file of a path -> what tells a change: of code its sha256, of data (which may be large) size and time."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(f): _print_of(f) for f in files if f.is_file() and "__pycache__" not in f.parts}


def _print_of(file: Path) -> str:
    if CODE in file.parents:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    stat = file.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"


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
