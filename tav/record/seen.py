"""What the last `tav record` said: while nothing that it goes by has changed, the next says so and asks nobody."""

import hashlib
import json
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from tav.artifacts import artifact, write_json
from tav.params import Params
from tav.record.store import ARTIFACTS, DATABASE, is_own
from tav.settings import FILE, OF_EDITS, STAGES

KEPT = Path(".dvc/tmp/tav/recorded.json")
"""In DVC's folder for what no commit has."""


def mark(params: Params) -> str:
    """A hash of dvc.lock, of the names in params.yaml, and of the time and size of the other files that count.

    "" where it can't be told: there is nothing yet, or the store is a server's.
    """
    if not (is_own() and DATABASE.exists() and KEPT.parents[1].is_dir() and Path("dvc.lock").is_file()):
        return ""
    keys = {stage: params.edits if stage in OF_EDITS else params.videos for stage in STAGES}
    settings = [artifact(stage, key, FILE) for stage, named in keys.items() for key in named]
    code = sorted(Path(__file__).parent.glob("*.py"))
    times = [(file.name, *_time(file)) for file in (*code, DATABASE, *settings)]
    lock = hashlib.sha256(Path("dvc.lock").read_bytes()).hexdigest()
    where = str(ARTIFACTS.absolute())
    parts = [lock, where, version("tav"), version("mlflow"), sorted(params.videos), sorted(params.edits), times]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def counts_before(params: Params) -> list[int] | None:
    """What `tell` was given, where all is as it was then."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        if kept["mark"] and kept["mark"] == mark(params):
            counts = [int(count) for count in kept["told"]]
            return counts
    return None


def tell(params: Params, counts: list[int]) -> None:
    """Keep what was said, for the next time. Not where the project can't be written."""
    with suppress(OSError):
        write_json(KEPT, {"mark": mark(params), "told": counts})


def _time(file: Path) -> tuple[int, int]:
    with suppress(OSError):
        stat = file.stat()
        return stat.st_mtime_ns, stat.st_size
    return 0, 0
