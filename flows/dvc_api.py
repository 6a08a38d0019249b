"""All that we use of DVC's Python interface, which DVC does not document: a release may move any of it.

tests/flows/test_dvc_api.py names each piece. Imports DVC (a second), so import this where it is needed.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import dvc.stage.run
from dvc.exceptions import DvcException as DvcException
from dvc.exceptions import ReproductionError
from dvc.lock import LockError as LockError
from dvc.repo import Repo
from dvc.stage.cache import StageCache
from dvc.stage.exceptions import StageCmdFailedError

from flows import ends


class Node(NamedTuple):
    """A stage of the graph."""

    upstream: set[str]
    meta: Any
    """As dvc.yaml has it; None where it has none."""


class CommandFailed(StageCmdFailedError):  # type: ignore[misc]
    """A stage's command ended badly. DVC's own class has the exit status in its words alone."""

    def __init__(self, cmd: Any, status: int | None = None) -> None:
        super().__init__(cmd, status)
        self.status = 1 if status is None else status


class Cache(StageCache):  # type: ignore[misc]
    """DVC's run cache, which remembers whether a stage came from it."""

    restored = False

    def restore(self, *given: Any, **options: Any) -> None:
        super().restore(*given, **options)  # raises when it has no such run
        self.restored = True


@contextmanager
def repository() -> Iterator[Any]:
    """DVC's repository of the current folder. It waits for another DVC's lock."""
    with Repo(_wait_for_lock=True) as repo:
        yield repo


def graph(repo: Any) -> dict[str, Node]:
    """Each stage of dvc.yaml and each tracked file, by name."""
    edges = repo.index.graph  # from a stage to what it needs
    return {
        stage.addressing: Node({before.addressing for before in edges.successors(stage)}, getattr(stage, "meta", None))
        for stage in edges
    }


def status(repo: Any, names: Iterable[str] | None) -> dict[str, list[Any]]:
    """What DVC finds changed, by name. What is up to date is not in it. names: None for all."""
    found: dict[str, list[Any]] = repo.status(targets=names)
    return found


def reproduce(stage: str) -> int:
    """Make one stage if it is stale, and say by a code of `ends` what came of it.

    Raises CommandFailed, LockError (another DVC is at work on it), and whatever else DVC and the system raise.
    """
    logging.getLogger("dvc").setLevel(logging.WARNING)  # the lines of a stage are to be its own
    dvc.stage.run.StageCmdFailedError = CommandFailed
    with repository() as repo:
        repo.stage_cache = cache = Cache(repo)
        try:
            made = repo.reproduce(stage, single_item=True)
        except ReproductionError as error:
            raise error.__cause__ or error from None
    return (ends.CACHED if cache.restored else ends.RAN) if made else ends.UNCHANGED
