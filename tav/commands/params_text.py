"""params.yaml changed as text: only the lines that a change is about differ, and every comment stays.

Each change is proved before it is given out: the new text, read as YAML, holds what the old one held and the change.
"""

import copy
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tav.artifacts import ROOT, atomic, sweep
from tav.commands.yaml_line import in_braces, in_yaml, inline
from tav.complaints import listed
from tav.params import UserError, check, load
from tav.processes.holder import holder_of

PARAMS = Path("params.yaml")
LOCK = ROOT / ".lock/params.yaml"
Values = dict[str, Any]
"""Of a video or an edit: texts, numbers, None, lists, and dicts of those."""


@contextmanager
def sole_writer() -> Iterator[None]:
    """Waits until no other `tav` changes params.yaml here. (An editor asks nobody: read just before you write.)

    Raises UserError where there is no DVC project.
    """
    from filelock import FileLock, Timeout

    here = Path.cwd()
    if not any((folder / ".dvc").is_dir() for folder in (here, *here.parents)):
        raise UserError(f"{here} is in no DVC project, which keeps videos: run `git init` and `dvc init` here first")
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for {holder_of(LOCK)}, which changes {PARAMS}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def read_text() -> str:
    """params.yaml as it is now. Raises UserError with all that is wrong with it."""
    load(PARAMS)
    try:
        return PARAMS.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{PARAMS} is not in UTF-8: save it as UTF-8") from None


def write_text(text: str) -> None:
    """Put a text in the place of params.yaml's, whole or not at all. A link stays a link, and the mode stays."""
    file = PARAMS.resolve()
    sweep(file)
    with atomic(file) as fresh:
        fresh.write_bytes(text.encode("utf-8"))
        shutil.copymode(file, fresh)


def parse(text: str) -> Any:
    """What a text of params.yaml holds, as plain data. Raises UserError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise UserError(f"{PARAMS} is not YAML: {' '.join(str(error).split())}") from None


def add_entries(text: str, section: str, entries: dict[str, Values]) -> str:
    """The text with more videos or edits, below the last one of their section. Raises UserError."""
    after = copy.deepcopy(parse(text))
    after[section].update(entries)

    return _proved(lambda: _with_entries(text, section, entries), after, f"add {_some(entries)} to {section}")


def remove_entries(text: str, section: str, names: list[str]) -> str:
    """The text without some videos or edits, and without the comments beside them. Raises UserError."""
    after = copy.deepcopy(parse(text))
    for name in names:
        del after[section][name]

    def change() -> str:
        new = text
        for name in names:
            new = _without_entry(new, section, name)
        return new

    return _proved(change, after, f"remove {_some(names)} from {section}")


def set_value(text: str, names: tuple[str, ...], value: Any) -> str:
    """The text with another value at the end of a path of names, as in ("tune", "steps"). Raises UserError."""
    after = copy.deepcopy(parse(text))
    within = after
    for name in names[:-1]:
        within = within[name]
    within[names[-1]] = value
    return _proved(lambda: _with_value(text, names, value), after, f"set {'.'.join(names)}")


def _some(names: Iterable[str]) -> str:
    return listed(list(names), ", ")


def _proved(change: Callable[[], str], after: Any, what: str) -> str:
    """The changed text, when it holds exactly what it should. `after` is checked first."""
    from ruamel.yaml.error import YAMLError

    check(after)
    try:
        new = change()
        if parse(new) == after:
            return new
    except (UserError, YAMLError, LookupError, ValueError):  # YAML has more ways to write than are known here
        pass
    raise UserError(f"can't {what}: {PARAMS} writes that part in a way that tav can't change: do it in an editor")


def _with_entries(text: str, section: str, entries: dict[str, Values]) -> str:
    root, node = _root(text), _section(text, section)
    start, stop = node.start_mark.index, node.end_mark.index
    inlined = ", ".join(inline(name, values) for name, values in entries.items())
    if node.flow_style and node.value:
        at = _end(node.value[-1])
        return f"{text[:at]}, {inlined}{text[at:]}"
    if node.flow_style and root.flow_style:
        return f"{text[: start + 1]}{inlined}{text[start + 1 :]}"
    if node.value:
        return _with_lines(text, _entry_end(text, node.value[-1]), node.value[0][0].start_mark.column, entries)
    head = text[:start].rstrip(" ")  # `edits: {}`: the braces go, and what stands behind them stays
    behind = text[stop : _line_end(text, stop)].rstrip()
    text, at = head + behind + text[_line_end(text, stop) :], len(head + behind)
    return _with_lines(text, _next_line(text, at), root.value[0][0].start_mark.column + 2, entries)


def _with_lines(text: str, at: int, column: int, entries: dict[str, Values]) -> str:
    """The text with entries in lines of their own, above the line that starts at `at`."""
    line_break = "\r\n" if "\r\n" in text else "\n"
    above = "" if text[:at].endswith("\n") else line_break
    lines = []
    for name, values in entries.items():
        lines += [f"{in_yaml(name)}:", *(f"  {field}: {in_yaml(value)}" for field, value in values.items())]
    return text[:at] + above + "".join(" " * column + line + line_break for line in lines) + text[at:]


def _without_entry(text: str, section: str, name: str) -> str:
    node = _section(text, section)
    entries = node.value
    i = next(i for i, (key, _) in enumerate(entries) if key.value == name)
    if node.flow_style:
        start = entries[i][0].start_mark.index
        if i + 1 < len(entries):
            return text[:start] + text[entries[i + 1][0].start_mark.index :]
        return text[: _end(entries[i - 1]) if i else start] + text[_end(entries[i]) :]
    start, stop = entries[i][0].start_mark.index, _entry_end(text, entries[i])
    start = text.rindex("\n", 0, start) + 1
    if len(entries) > 1:
        return text[:start] + text[stop:]
    head = next(key for key, value in _root(text).value if key.value == section).end_mark.index
    colon = text.index(":", head) + 1
    return text[:colon] + " {}" + text[colon:start] + text[stop:]


def _with_value(text: str, names: tuple[str, ...], value: Any) -> str:
    entry = _root(text)
    for name in names[:-1]:
        entry = next(value for key, value in entry.value if key.value == name)
    key, node = next((key, value) for key, value in entry.value if key.value == names[-1])
    start, stop = node.start_mark.index, node.end_mark.index
    new = in_braces(value) if entry.flow_style else in_yaml(value)
    if start == stop:  # nothing stands there, which is null
        start = stop = text.index(":", key.end_mark.index) + 1
        new = f" {new}"
    behind = "\n" if text[start:stop].endswith("\n") else ""  # a block of lines
    if blanks := re.match(r" +(?=#)", text[stop:]):  # the comment stays in its column where it can
        stop += len(blanks[0])
        behind = " " * max(1, stop - start - len(new))
    return text[:start] + new + behind + text[stop:]


def _root(text: str) -> Any:
    """params.yaml as ruamel's tree of nodes, which know where they stand."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).compose(text)


def _section(text: str, section: str) -> Any:
    return next(value for key, value in _root(text).value if key.value == section)


def _end(entry: Any) -> int:
    """Where the text of a pair of nodes (key, value) ends: a block's own end lies behind the comments after it."""
    key, node = entry
    while not isinstance(node.value, str) and not node.flow_style and node.value:
        last = node.value[-1]
        key, node = last if isinstance(last, tuple) else (key, last)
    return int(max(key.end_mark.index, node.end_mark.index))  # an alias stands before: its node is the anchor's


def _entry_end(text: str, entry: Any) -> int:
    """The start of the line below an entry and the comments that belong to it: those no less indented."""
    column, end = entry[0].start_mark.column, _end(entry)
    kept = len(text[:end].rstrip()) if text[:end].endswith("\n") else end
    end = at = _next_line(text, kept)
    while at < len(text):
        line = text[at : _line_end(text, at)]
        if line.strip() and not (line.lstrip().startswith("#") and len(line) - len(line.lstrip()) >= column):
            break
        at = _next_line(text, at)
        end = at if line.strip() else end
    return end


def _line_end(text: str, at: int) -> int:
    """The place of the line break at or behind a place, or the end of the text."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end - (text[end - 1 : end] == "\r" and end > at)


def _next_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
