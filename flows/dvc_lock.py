"""dvc.lock by lines: an entry is put in without a look at the others, and what was parsed before is not parsed again.

DVC parses all of it for each command, which takes a second for 10,000 lines, and parses and writes all of it, slower
still, for each stage that is made. What a person or a strange text has made less plain is left to DVC.
"""

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import dvc.dvcfile
from dvc.fs import LocalFileSystem
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import dumps_yaml, parse_yaml

_dump_by_dvc = dvc.dvcfile.Lockfile.dump_stages
_load_by_dvc = dvc.dvcfile.Lockfile._load_yaml

KEPT = "tav/lock.json"
"""In DVC's own folder for what no commit has: hash of an entry's lines -> what they say."""
HEAD = "schema: '2.0'\nstages:\n"
NAME = re.compile(r"  [A-Za-z_][\w@-]*:")
"""A stage's first line, where its name needs no quotes."""
ODD = re.compile(r"^ *#|^ *[?:] |[:-] [&*]\w+$|[:-] &\w+ |[\x85\u2028\u2029\ufeff]", re.MULTILINE)
"""What a person, an alias or a strange text may have put into dvc.lock: then DVC writes it."""


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


def load(lock: Any, **how: Any) -> tuple[Any, str]:
    """As DVC's `Lockfile._load_yaml`: what dvc.lock says, and its text."""
    if how or not isinstance(lock.repo.fs, LocalFileSystem) or not lock.repo.tmp_dir:
        return _load_by_dvc(lock, **how)  # type: ignore[no-any-return]
    try:
        text = Path(lock.path).read_text(encoding="utf-8")
        return {"schema": "2.0", "stages": _read(_blocks(text), Path(lock.repo.tmp_dir, KEPT))}, text
    except Exception:  # whatever is wrong, DVC tells it
        return _load_by_dvc(lock)  # type: ignore[no-any-return]


def _read(blocks: dict[str, str], kept: Path) -> dict[str, Any]:
    """What the lines of each stage say. Raises what DVC's parser and its schema do."""
    marks = {name: hashlib.sha256(lines.encode()).hexdigest() for name, lines in blocks.items()}
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        known = json.loads(kept.read_text(encoding="utf-8"))
    new = {name: lines for name, lines in blocks.items() if marks[name] not in known}
    if new:
        data = parse_yaml(HEAD + "".join(new.values()), "dvc.lock")
        dvc.dvcfile.Lockfile.validate(data)
        entries = {**{name: known[mark] for name, mark in marks.items() if mark in known}, **data["stages"]}
        with suppress(OSError):
            keep_json(kept, {marks[name]: entry for name, entry in entries.items() if _is_json(entry)})
        return {name: entries[name] for name in blocks}
    return {name: known[marks[name]] for name in blocks}


def _is_json(entry: Any) -> bool:
    """Whether it comes back from JSON as it is: dates and keys that are numbers don't."""
    try:
        return repr(json.loads(json.dumps(entry))) == repr(entry)
    except TypeError:
        return False


def keep_json(file: Path, entries: dict[str, Any]) -> None:
    """Write for the next time, whole or not at all. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f".tmp-{os.getpid()}-{file.name}")
    half.write_text(json.dumps(entries), encoding="utf-8")
    half.replace(file)


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
