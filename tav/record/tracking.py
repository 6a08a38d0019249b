"""MLflow says what dvc.lock says."""

import sys
from collections.abc import Iterable
from typing import NamedTuple

from tav.params import Params, UserError
from tav.record.provenance import Entries, Producers, Result, Stale, producers, read_lock, settings_here, upstream
from tav.record.rows import Rows, open_rows
from tav.record.seen import counts_before, tell
from tav.record.store import usable

LONG = 20
"""Rows from which on `record` draws a bar."""


class Recorded(NamedTuple):
    """What `record` found in dvc.lock and made MLflow say."""

    edits: int = 0
    tunings: int = 0
    new: int = 0
    updated: int = 0
    stale: int = 0
    absent: int = 0
    gone: int = 0

    def __str__(self) -> str:
        def counted(count: int, what: str) -> list[str]:
            return [f"{count} {what}"] * bool(count)

        changes = ", ".join(counted(self.new, "new") + counted(self.updated, "updated"))
        notes = counted(self.stale, "left out: made from what has changed since (run `dvc repro`)")
        notes += counted(
            self.absent, "left out: the files aren't those of dvc.lock (run `dvc checkout` or `dvc repro`)"
        )
        notes += counted(self.gone, "left out: params.yaml has them no more")
        line = f"MLflow: {self.edits} edits, {self.tunings} tunings" + f" ({changes})" * bool(changes)
        return "; ".join([line, *notes])


def record(params: Params) -> Recorded:
    """Make MLflow say what dvc.lock says, as often as one likes. Raises UserError when the store can't be used.

    Only what is whole is recorded: everything upstream as it was, and the files as dvc.lock names them.
    """
    before = counts_before(params)
    if before is not None:
        return Recorded(*before)
    lock = read_lock()
    names = [name for name in lock if name.startswith(("tune@", "evaluate@"))]
    if not names:
        return Recorded()
    asked = {f"tune@{video}" for video in params.videos} | {f"evaluate@{edit}" for edit in params.edits}
    count = dict.fromkeys(Recorded._fields, 0)
    made_by = producers(lock)
    with usable(), open_rows() as rows:
        for name in _with_bar(names):
            outcome = _record(rows, lock, made_by, name)
            if outcome in ("stale", "absent"):
                count[outcome if name in asked else "gone"] += 1  # what nobody asks for can't be made up to date
                continue
            count["edits" if name.startswith("evaluate@") else "tunings"] += 1
            if outcome != "same":
                count[outcome] += 1
    recorded = Recorded(**count)
    if not recorded.absent and not recorded.gone:  # files may come back
        tell(params, list(recorded._replace(new=0, updated=0)))
    return recorded


def _record(rows: Rows, lock: Entries, made_by: Producers, name: str) -> str:
    """As `Rows.record`, or "stale"."""
    try:
        result = Result(name, upstream(lock, name, made_by), settings_here(name))
        result.identity  # noqa: B018 - reads what it is made of
    except Stale:
        return "stale"
    except (UserError, KeyError, FileNotFoundError):  # or made by a tav that wrote no settings
        return "absent"
    return rows.record(result)


def _with_bar(names: list[str]) -> Iterable[str]:
    from rich.console import Console
    from rich.progress import track

    quiet = len(names) < LONG or not sys.stderr.isatty()
    return track(names, "MLflow", console=Console(stderr=True), transient=True, disable=quiet)
