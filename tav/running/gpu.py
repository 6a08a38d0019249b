"""One stage at a time on a GPU, also against runs by hand and of other projects: a lock for each card."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tav.params import UserError
from tav.processes.holder import holder_of
from tav.running.inputs import entry_of

PLACE = Path(tempfile.gettempdir(), "tav-gpu")
"""For all users of the machine."""


@contextmanager
def alone_on_gpu(stage: str) -> Iterator[None]:
    """Hold the lock of the card that a stage of the pool `gpu` will run on. Where there is none, do nothing.

    Waits for another process on that card, and says who it is.
    """
    card = card_in_use() if _wants_gpu(stage) else None
    if card is None:
        yield
        return
    from filelock import FileLock, Timeout

    PLACE.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # another user's folder is open already
        PLACE.chmod(0o777)
    path = PLACE / f"{card}.lock"
    lock = FileLock(path, mode=0o666)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"GPU {card} is in use by {holder_of(path)}: {stage} waits for it", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def card_in_use() -> str | None:
    """The name of the card that torch's first CUDA device is here, or that of TAV_DEVICE; None: no card is used.

    It is the card's UUID where nvidia-smi tells, so that a number and a name of one card are one.
    """
    kind, _, number = os.environ.get("TAV_DEVICE", "cuda").partition(":")
    if kind != "cuda" or shutil.which("nvidia-smi") is None:
        return None
    ask = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        listing = subprocess.run(ask, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    cards = listing.stdout.split() if listing.returncode == 0 else []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = cards if visible is None else [_named(name.strip(), cards) for name in visible.split(",") if name.strip()]
    index = int(number or 0)
    chosen = seen[index] if index < len(seen) else None
    return None if chosen in (None, "-1") else chosen


def _named(name: str, cards: list[str]) -> str:
    """The UUID of a card that CUDA_VISIBLE_DEVICES names by its number, or by the beginning of its UUID."""
    if name.isdecimal():
        return cards[int(name)] if int(name) < len(cards) else "-1"
    return next((card for card in cards if card.startswith(name)), name)


def _wants_gpu(stage: str) -> bool:
    """Whether dvc.yaml has the stage in the pool `gpu`."""
    try:
        entry = entry_of(stage)
    except UserError:  # the guard says so
        return False
    entry = entry.get("do", entry) if isinstance(entry, dict) else {}
    meta = entry.get("meta") if isinstance(entry, dict) else None
    return isinstance(meta, dict) and meta.get("pool") == "gpu"
