"""How far a stage is: a bar on a screen, a line now and then in a log."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tav.stages import OnProgress, Progress

LINE_EVERY = float(os.environ.get("TAV_LINE_EVERY", 10))
"""Seconds between two lines in a log."""


@contextmanager
def bar(name: str) -> "Iterator[OnProgress]":
    """Yields what draws a progress: how far `name` is, and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    last_line, first = time.monotonic(), None
    with Bar(*columns, TextColumn("{task.fields[values]}"), disable=not sys.stderr.isatty()) as shown:
        task = shown.add_task(name, total=None, values="")

        def draw(progress: "Progress") -> None:
            nonlocal last_line, first
            values = "  ".join(f"{k} {v:.4g}" for k, v in progress.values.items())
            shown.update(task, completed=progress.done, total=progress.total, values=values)
            now = time.monotonic()
            first = first or (now, progress.done)  # loading the model is no part of the pace
            if shown.disable and now - last_line >= LINE_EVERY and progress.done > first[1]:
                left = (now - first[0]) / (progress.done - first[1]) * (progress.total - progress.done)
                print(f"{name} {progress.done}/{progress.total}, {left:.0f} s left  {values}".rstrip(), flush=True)
                last_line = now

        yield draw
