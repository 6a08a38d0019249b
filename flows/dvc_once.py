"""What DVC does anew for each stage, done once. Same answers, same dvc.lock; only the time is another.

DVC parses params.yaml for each stage that has a parameter there, and searches all of it for each parameter; it writes
dvc.lock by parsing and writing all of it, slowly, for each stage. Both grow with the square of the project.
"""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import dpath
import dvc.dependency.param
import dvc.dvcfile
from dvc.fs import LocalFileSystem
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import dumps_yaml, parse_yaml

_read_by_dvc = dvc.dependency.param.read_param_file
_dump_by_dvc = dvc.dvcfile.Lockfile.dump_stages

HEAD = "schema: '2.0'\nstages:\n"
NAME = re.compile(r"  [A-Za-z_][\w@-]*:")
"""A stage's first line, where its name needs no quotes."""
PART = re.compile(r"[\w@-]+")
"""Of a parameter's name: no pattern."""
ODD = re.compile(r"^ *#|^ *[?:] |[:-] [&*]\w+$|[:-] &\w+ |[\x85\u2028\u2029\ufeff]", re.MULTILINE)
"""What a person, an alias or a strange text may have put into dvc.lock: then DVC writes it."""


def install() -> None:
    """Have DVC of this process do so."""
    dvc.dependency.param.read_param_file = read_parameters
    dvc.dvcfile.Lockfile.dump_stages = dump_stages


def read_parameters(fs: Any, path: str, key_paths: list[str] | None = None, flatten: bool = False, **how: Any) -> Any:
    """As DVC's `read_param_file`, which parses the file each time."""
    if how or not flatten or not key_paths or not isinstance(fs, LocalFileSystem) or not path.endswith(".yaml"):
        return _read_by_dvc(fs, path, key_paths, flatten, **how)
    try:
        data = _parsed(path)
    except UnicodeDecodeError:
        return _read_by_dvc(fs, path, key_paths, flatten)
    found = {}
    for key in key_paths:
        try:
            found[key] = _at(data, key)
        except KeyError:
            continue
    return deepcopy(found)  # at once, so that what was one object stays one


def dump_stages(lock: Any, stages: list[Any], **how: Any) -> None:
    """As DVC's `Lockfile.dump_stages`, which parses and writes all of dvc.lock."""
    path = Path(lock.path)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    entries = {name: entry for stage in stages for name, entry in to_lockfile(stage, **how).items()}
    try:
        fresh = with_entries(text, entries)
    except ValueError:
        _dump_by_dvc(lock, stages, **how)
        return
    if fresh != text:
        dvc.dvcfile.logger.info("Updating lock file '%s'", lock.relpath)
        half = path.with_name(f".tmp-{path.name}")
        half.write_text(fresh, encoding="utf-8")
        half.replace(path.resolve())  # it may be a link
        lock.repo.scm_context.track_file(lock.relpath)


def with_entries(text: str, entries: dict[str, Any]) -> str:
    """dvc.lock's text with these entries: each in its old place, or at the end.

    Raises ValueError where the text or an entry is not so plain that its lines can be moved as they are.
    """
    blocks = _blocks(text)
    for name, entry in entries.items():
        blocks[name] = _blocks(dumps_yaml({"schema": "2.0", "stages": {name: entry}}))[name]
    return HEAD + "".join(blocks.values())


def entries_in(lock: Path) -> dict[str, str] | None:
    """Stage -> its lines in dvc.lock. None where it is not so plain."""
    try:
        text = lock.read_text(encoding="utf-8")
        return _blocks(text)
    except FileNotFoundError:
        return {}
    except ValueError:
        return None


def _blocks(text: str) -> dict[str, str]:
    """Stage -> its lines."""
    if not text.startswith(HEAD) or not text.endswith("\n") or ODD.search(text):
        raise ValueError("not as DVC writes it")
    blocks: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text[len(HEAD) : -1].split("\n"):
        if line.startswith("    "):
            lines.append(line)
        elif NAME.fullmatch(line) and line[2:-1] not in blocks:
            blocks[line[2:-1]] = lines = [line]
        else:
            raise ValueError(f"not a stage: {line}")
    return {name: "\n".join(lines) + "\n" for name, lines in blocks.items()}


_known: dict[str, tuple[bytes, Any]] = {}
"""Path -> what was in it, and what that says."""


def _parsed(path: str) -> Any:
    content = Path(path).read_bytes()
    if path not in _known or _known[path][0] != content:
        _known[path] = content, parse_yaml(content.decode(), path)
    return _known[path][1]


def _at(data: Any, name: str) -> Any:
    """What lies at `a.b`, as `dpath.get` finds it, which walks through everything. Raises KeyError."""
    at = data
    for part in name.split("."):
        if not PART.fullmatch(part) or not isinstance(at, dict) or part not in at or not all(map(_is_text, at)):
            return dpath.get(data, name, separator=".")
        at = at[part]
    return at


def _is_text(key: Any) -> bool:
    return isinstance(key, str)
