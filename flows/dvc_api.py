"""All that we use of DVC's Python interface, which DVC does not document: a release may move any of it.

tests/flows/test_dvc_api.py names each piece. Imports DVC (a second), so import this where it is needed.
"""

import logging
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dvc.repo.reproduce
import dvc.stage.run
from dvc.exceptions import DvcException as DvcException
from dvc.exceptions import ReproductionError
from dvc.lock import LockError as LockError
from dvc.repo import Repo, lock_repo
from dvc.stage.cache import StageCache
from dvc.stage.exceptions import StageCmdFailedError

from flows import dvc_lock, dvc_once, dvc_repro, ends

dvc_once.install()
dvc_repro.install()


LOCK = Path("dvc.lock")


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


@contextmanager
def held(repo: Any) -> Iterator[None]:
    """Nobody else changes the project meanwhile, so that DVC reads it once. Raises LockError."""
    with lock_repo(repo):
        yield


def graph(repo: Any) -> dict[str, Node]:
    """Each stage of dvc.yaml and each tracked file, by name."""
    edges = repo.index.graph  # from a stage to what it needs
    return {
        stage.addressing: Node({before.addressing for before in edges.successors(stage)}, getattr(stage, "meta", None))
        for stage in edges
    }


def status(repo: Any, names: Container[str] | None = None) -> dict[str, list[Any]]:
    """What DVC finds changed, by name. What is up to date is not in it. names: None for all.

    As `Repo.status`, which reads the project anew for each name that it is given.
    """
    with held(repo):
        asked = [(stage, None) for stage in repo.index.stages if names is None or stage.addressing in names]
        changed: dict[str, list[Any]] = dvc_once.joint_status(asked)
    return changed


class Project:
    """The project as DVC read it once, for many stages: each is to be made in a fork of this process."""

    def __init__(self) -> None:
        self.repo = Repo(_wait_for_lock=True)
        with held(self.repo):
            self._texts = _texts()
            self._entries = dvc_lock.entries_in(LOCK)
            self._stages = {stage.addressing: stage for stage in self.repo.index.stages}

    def is_current(self) -> bool:
        """Whether the stages are those of today: what they are made of stands in two files."""
        return self._texts == _texts()

    def stage(self, name: str) -> Any:
        """A stage of dvc.yaml. None where dvc.lock says otherwise of it by now, or can't be read by lines."""
        now = dvc_lock.entries_in(LOCK)
        as_read = now is not None and self._entries is not None and now.get(name) == self._entries.get(name)
        return self._stages.get(name) if as_read and not name.endswith(".dvc") else None


def reproduce(name: str, project: Project | None = None) -> int:
    """Make one stage if it is stale, and say by a code of `ends` what came of it.

    project: the one of the current folder, where this process is a fork that may use it up.
    Raises CommandFailed, LockError (another DVC is at work on it), and whatever else DVC and the system raise.
    """
    logging.getLogger("dvc").setLevel(logging.WARNING)  # the lines of a stage are to be its own
    dvc.stage.run.StageCmdFailedError = CommandFailed
    with Repo(_wait_for_lock=True) if project is None else project.repo as repo:
        repo.stage_cache = cache = Cache(repo)
        try:
            with held(repo):
                stage = project and project.stage(name)
                stages = _reproduced(repo, stage) if stage else repo.reproduce(name, single_item=True)
        except ReproductionError as error:
            raise error.__cause__ or error from None
    return (ends.CACHED if cache.restored else ends.RAN) if stages else ends.UNCHANGED


def _reproduced(repo: Any, stage: Any) -> Any:
    """As `Repo.reproduce`, of a stage that was read before."""
    with repo.scm_context():
        return dvc.repo.reproduce._reproduce([stage], interactive=False)


def _texts() -> dict[str, bytes]:
    return {name: Path(name).read_bytes() for name in ("dvc.yaml", "params.yaml") if Path(name).is_file()}


def command(words: list[str]) -> int:
    """DVC's own command line, in this process. Gives its exit code."""
    from dvc.cli import main

    code: int = main(words)
    return code
