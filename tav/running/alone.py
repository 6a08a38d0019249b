"""One run of a stage at a time in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tav.params import UserError


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the lock of a stage. Two runs of one stage at once would write over each other.

    name: `tune@man-skiing`. Raises UserError when another process holds it.
    """
    from filelock import FileLock, Timeout

    folder = Path(".dvc/tmp")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"{name} is running already in this folder: wait for it, or stop it first") from None
