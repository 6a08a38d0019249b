"""The stages of the DAG, one file each. They meet through files alone.

Each has `run(params, key)`, a generator: it yields a `Progress` after each piece of work, and whoever runs it
draws the bar and logs the values. Nothing is done before the first `next`.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Progress(NamedTuple):
    done: int
    total: int
    values: dict[str, float]
    """What was measured in this piece of work, e.g. the loss of a tuning step."""


Run = Iterator[Progress]
