"""What a DVC was writing when it was killed: it writes dvc.lock and its rwlock in place, and a kill then cuts them.

DVC would refuse to run until somebody takes the broken file away.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOCK = Path("dvc.lock")
DVCS = Path(".dvc/tmp")
"""Where DVC keeps what it locks."""


class Kept:
    """The dvc.lock that was there when a stage began: DVC writes it only between two stages."""

    def __init__(self) -> None:
        self.text: str | None = None
        """None: nothing is known. "": there was none."""

    def look(self) -> None:
        """Take it up as it is now."""
        try:
            self.text = LOCK.read_text(encoding="utf-8")
        except FileNotFoundError:
            self.text = ""
        except (OSError, UnicodeError):
            self.text = None

    def mend(self) -> bool:
        """Put it back where it is cut, unless another DVC is at work on it. Gives whether it was."""
        with _held("lock") as is_ours:
            return is_ours and self.text is not None and _is_cut(self.text) and self._put_back()

    def _put_back(self) -> bool:
        if not self.text:
            LOCK.unlink(missing_ok=True)
            return True
        handle, fresh = tempfile.mkstemp(dir=LOCK.absolute().parent, prefix=f".tmp-{LOCK.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self.text)
        with suppress(OSError):
            Path(fresh).chmod(LOCK.stat().st_mode)
        Path(fresh).replace(LOCK.resolve())  # it may be a link
        return True


def drop_broken_rwlock() -> bool:
    """Delete DVC's note of who reads and writes what, where it is cut. Gives whether it was."""
    with _held("rwlock.lock") as is_ours:
        note = DVCS / "rwlock"
        try:
            json.loads(note.read_bytes())
        except ValueError:
            if is_ours:
                note.unlink(missing_ok=True)
            return is_ours
        except OSError:
            pass
        return False


@contextmanager
def _held(name: str) -> Iterator[bool]:
    """Hold one of DVC's locks, as it does itself. False: another DVC holds it, or there is none here."""
    try:
        file = (DVCS / name).open("a")
    except OSError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _is_cut(before: str) -> bool:
    """Whether dvc.lock is not what DVC writes whole, or has lost stages that it had."""
    try:
        now = LOCK.read_text(encoding="utf-8")
    except UnicodeError:  # in the middle of a letter
        return True
    except OSError:
        return False
    if now == before:
        return not now  # DVC leaves none that is empty
    try:
        stages, known = (_stages(text) for text in (now, before))
        changed = [entry for name, entry in stages.items() if entry != known.get(name)]
        return not now.endswith("\n") or not known.keys() <= stages.keys() or not all(map(_is_whole, changed))
    except Exception:  # a cut text breaks anything
        return True


def _stages(text: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe", pure=True).load(text)["stages"]) if text else {}


def _is_whole(entry: Any) -> bool:
    """Whether a stage of dvc.lock has what DVC asks of it."""
    files, params = [*entry.get("deps", []), *entry.get("outs", [])], entry.get("params", {})
    return (
        "cmd" in entry
        and all(isinstance(values, dict) for values in (params, *params.values()))
        and all({"path", "hash"} <= {*file} for file in files)
    )
