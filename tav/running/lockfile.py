"""dvc.lock as it was before a DVC was killed while it wrote it: DVC writes it in place, and a kill then cuts it."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

LOCK = Path("dvc.lock")


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
        """Put it back where it is cut. Only for when DVC is gone. Gives whether it was."""
        if self.text is None or not _is_cut(self.text):
            return False
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


def _is_cut(before: str) -> bool:
    """Whether dvc.lock is not what DVC writes whole, or has lost stages that it had."""
    try:
        now = LOCK.read_text(encoding="utf-8")
    except UnicodeError:  # in the middle of a letter
        return True
    except OSError:
        return False
    if now == before:
        return False
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
