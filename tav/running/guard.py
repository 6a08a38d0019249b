"""The truth of the record: a stage fails when what it reads was changed while it ran.

DVC writes parameters to dvc.lock as they are when a stage ends. Without this guard, an edit of params.yaml under a
running stage would put a learning rate on record that the weights were not tuned with.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tav.complaints import one_line
from tav.params import UserError
from tav.running.inputs import ABSENT, inputs
from tav.running.weights import check_weights, on_disk, parts_of

EVERY = 60.0
"""Seconds between two looks while a stage runs."""
SETTLE = 1.0
"""Seconds that a file which differs is given until it is read again: it may be half written."""


class Guard:
    """What a stage reads, as it was when the stage began."""

    def __init__(self, stage: str, key: str) -> None:
        self._stage, self._key = stage, key
        self._inputs = inputs(stage, key)
        self.weights = parts_of(self._inputs.deps)
        """See `parts_of`."""
        self._files = {path: fingerprint(Path(path)) for path in [*self._inputs.deps, *on_disk(self.weights)]}
        check_weights(self.weights)
        self._last_look = time.monotonic()

    def look(self, *, now: bool) -> None:
        """Compare while the stage runs, so that hours are not spent on what will be refused.

        At most once a minute, or (now=True) at once. Raises UserError, as `compare`.
        """
        if now or time.monotonic() - self._last_look >= EVERY:
            self._last_look = time.monotonic()
            if self._changes_unless_half_written():
                time.sleep(SETTLE)
                self._refuse(self._changes_unless_half_written())

    def compare(self) -> None:
        """Raises UserError, which names each parameter and file that was changed."""
        self._refuse(self._changes())

    def _changes(self) -> list[str]:
        params_now = inputs(self._stage, self._key).params
        params = [
            f"{file}: {name} was changed from {one_line(str(old), 80)} to {one_line(str(new), 80)}"
            for file, values in self._inputs.params.items()
            for listed, value in values.items()
            for name, old, new in differences(value, params_now[file].get(listed, ABSENT), listed)
        ]
        files = [path for path, before in self._files.items() if fingerprint(Path(path)) != before]
        return params + [f"{path} was changed" for path in files]

    def _changes_unless_half_written(self) -> list[str]:
        """Nothing while an editor is writing a file."""
        try:
            return self._changes()
        except (UserError, OSError):
            return []

    def _refuse(self, changes: list[str]) -> None:
        if changes:
            name = f"{self._stage}@{self._key}" if self._key else self._stage
            raise UserError(f"{'; '.join(changes)} while {name} ran: run `dvc repro` again")


@contextmanager
def guard(stage: str, key: str = "") -> Iterator[Guard]:
    """Compare what the stage reads before and after. Enter it before anything is read for the stage.

    Raises UserError where something was changed. What the block raises goes its way.
    """
    guarded = Guard(stage, key)
    yield guarded
    guarded.compare()


def fingerprint(path: Path) -> dict[str, tuple[int, int]]:
    """Each file of a path -> its size and time: enough to tell a change, of data that may be large."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = {str(file): file.stat() for file in files if file.is_file()}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def differences(old: Any, new: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, old value, new value) of each leaf that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), f"{name}.{key}")
    elif old != new:
        yield name, old, new
