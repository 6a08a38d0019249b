"""One run of a stage at a time in a folder. It sweeps up after one that was killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tav.artifacts import ROOT, artifact, sweep
from tav.params import UserError
from tav.processes.holder import holder_of

LOCKS = ROOT / ".lock"
"""Not in `.dvc`: a `.dvc` of ours, where there is none, would be the root of a repository to DVC."""


@contextmanager
def alone(stage: str, key: str = "") -> Iterator[None]:
    """Hold the lock of a stage. Two runs of one stage at once would write over each other.

    Raises UserError when the current folder holds no project, and when another process runs the stage.
    """
    from filelock import FileLock, Timeout

    if not Path("dvc.yaml").is_file():
        raise UserError(f"no dvc.yaml in {Path.cwd()}: run this in the project's folder (`tav init` makes one)")
    name = f"{stage}@{key}" if key else stage
    LOCKS.mkdir(parents=True, exist_ok=True)
    lock = LOCKS / name
    try:
        with FileLock(lock, timeout=0):
            sweep(artifact(stage, key))
            yield
    except Timeout:
        raise UserError(f"{name} runs already in this folder, by {holder_of(lock)}: wait for it, or stop it") from None
