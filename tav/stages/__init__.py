"""The stages of the DAG, one file each. They meet through files alone.

Each has `run(params, key, on_progress)`. It calls `on_progress` after each piece of work; whoever runs it draws the
bar and logs the values.
"""

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    done: int
    total: int
    values: dict[str, float] = {}  # noqa: RUF012 - never changed
    """What was measured in this piece of work, e.g. the loss of a tuning step."""


OnProgress = Callable[[Progress], None]
