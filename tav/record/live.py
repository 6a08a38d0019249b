"""The loss of a tuning in MLflow while it runs, logged from a thread of its own, so that a store costs no step."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

from tav.artifacts import artifact, read_json
from tav.params import Params
from tav.record.provenance import Point, Result, read_lock, upstream
from tav.record.rows import open_rows
from tav.record.store import first_line, usable
from tav.settings import FILE, settings_of

if TYPE_CHECKING:
    from tav.stages import OnProgress, Progress

LIVE_AFTER = 5.0
"""Seconds. A shorter tuning isn't worth the import of mlflow: `record` writes it down."""
LIVE_EVERY = 1.0
"""Seconds between two writes of the live loss."""
PATIENCE = 20.0
"""Seconds that a tuning waits at its end for a slow store."""


@contextlib.contextmanager
def live_tuning(params: Params, key: str) -> "Iterator[OnProgress]":
    """Log each progress of the tuning of video `key` to MLflow, from a thread of its own: a store costs no step.

    A run that was killed is gone on with. A store that can't be reached is told once, on stderr.
    """

    def result() -> Result:
        before = {stage: read_json(artifact(stage, key, FILE)) for stage in ("extract", "caption")}
        settings = before | {"tune": settings_of(params, "tune", key)}
        return Result(f"tune@{key}", upstream(read_lock(), f"caption@{key}"), settings)

    points: SimpleQueue[Point] = SimpleQueue()
    ended, status = Event(), ["FINISHED"]
    thread = Thread(target=_log_live, args=(result, points, ended, status), daemon=True)

    def log(progress: "Progress") -> None:
        if progress.values:
            points.put(Point(progress.done, int(time.time() * 1000), progress.values))
            if thread.ident is None:
                thread.start()

    try:
        yield log
    except BaseException as error:
        status[0] = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        ended.set()
        if thread.ident is not None:
            thread.join(PATIENCE if status[0] != "KILLED" else PATIENCE / 4)


def _log_live(make_result: Callable[[], Result], points: "SimpleQueue[Point]", ended: Event, status: list[str]) -> None:
    """The thread of `live_tuning`. status: of the tuning, right from when `ended` is set."""
    if ended.wait(LIVE_AFTER) and status[0] == "FINISHED":
        return
    try:
        with usable(), open_rows() as rows:
            run, last = rows.go_on(make_result())
        over = False
        while not over:
            over = ended.wait(LIVE_EVERY)
            rows.log(run, (p for p in _drain(points) if p.step > last))
        rows.finish(run, status[0])
    except Exception as error:  # whatever a store can raise: the work goes on
        warning = f"MLflow: the loss isn't logged live ({first_line(error)}); `tav record` makes up for it"
        print(warning, file=sys.stderr, flush=True)


def _drain(points: "SimpleQueue[Point]") -> Iterator[Point]:
    with contextlib.suppress(Empty):
        while True:
            yield points.get_nowait()
