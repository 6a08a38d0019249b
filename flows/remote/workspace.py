"""A worker's place: a worktree of the snapshot in the machine's clone, with the clone's DVC cache."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.remote.git import git, succeeds
from flows.remote.snapshot import prefix, ref, remote_of
from tav.params import UserError

PLACE = Path(".dvc/tmp/tav")
"""In the clone. Git ignores `.dvc/tmp`, and DVC looks for no stages there."""


@contextmanager
def worktree(clone: Path, rev: str, part: str) -> Iterator[Path]:
    """The project's folder in a worktree of the snapshot. It goes when the block ends, and those that a kill left.

    One that a kill left of this very part is taken up: what lies in it need not be pulled again.
    """
    from filelock import FileLock

    (clone / PLACE).mkdir(parents=True, exist_ok=True)
    place = clone / PLACE / f"{rev[:12]}-{part}"
    with FileLock(f"{place}.lock"):
        sweep(clone, but=place)
        _check_out(clone, place, rev)
        try:
            yield place / prefix(clone)
        finally:  # also where the run is cancelled, which is an exception here
            _remove(clone, place)
            Path(f"{place}.lock").unlink(missing_ok=True)


def sweep(clone: Path, but: Path | None = None) -> None:
    """Remove the worktrees that nobody works in."""
    from filelock import FileLock, Timeout

    for lock in (clone / PLACE).glob("*.lock"):
        place = lock.with_suffix("")
        if place != but:
            with suppress(Timeout), FileLock(lock, timeout=0):
                _remove(clone, place)
                lock.unlink(missing_ok=True)


def _check_out(clone: Path, place: Path, rev: str) -> None:
    commit = fetch(clone, ref(rev))
    if not (place / ".git").is_file() or not succeeds("rev-parse", "--git-dir", cwd=place):
        _remove(clone, place)
        git("worktree", "add", "--quiet", "--detach", "--force", str(place), commit, cwd=clone)
    git("checkout", "--quiet", "--force", "--detach", commit, cwd=place)
    _share_cache(clone, place / prefix(clone))


def fetch(clone: Path, name: str) -> str:
    """Have what a ref of the remote names, and give its commit. Keeps no ref of its own. Raises UserError."""
    remote = remote_of(clone)
    commit = git("ls-remote", "--quiet", remote, name, cwd=clone).partition("\t")[0]
    if not commit:
        raise UserError(f"{name} is not there: who asked for this run has ended it since")
    git("fetch", "--quiet", "--no-write-fetch-head", remote, name, cwd=clone)
    return commit


def _share_cache(clone: Path, project: Path) -> None:
    """Give the worktree the clone's own settings of DVC (its remote's credentials may be there) and its cache."""
    from dvc.config import Config
    from dvc.repo import Repo

    with Repo(str(clone)) as repo:
        cache = repo.cache.local_cache_dir
    config = Config(str(clone / ".dvc"), validate=False).load_one("local")
    with Config(str(project / ".dvc"), validate=False).edit("local") as settings:
        settings.update(config)
        settings.setdefault("cache", {})["dir"] = cache
        settings.setdefault("core", {})["site_cache_dir"] = str(project / ".dvc/tmp/site")  # goes with the worktree


def _remove(clone: Path, place: Path) -> None:
    succeeds("worktree", "remove", "--force", "--force", str(place), cwd=clone)
    shutil.rmtree(place, ignore_errors=True)
    succeeds("worktree", "prune", cwd=clone)


@contextmanager
def within(folder: Path) -> Iterator[None]:
    """Work in a folder. For a process that does nothing else meanwhile."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
