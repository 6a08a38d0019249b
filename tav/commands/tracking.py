"""A video under videos/, kept by DVC."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from tav.artifacts import atomic, sweep
from tav.commands.all_or_nothing import put_back
from tav.commands.footage import Footage
from tav.params import UserError

VIDEOS = Path("videos")


def place_of(footage: Footage, name: str) -> Path:
    """Where a video of this name lies: where it is, if that is under videos/, else videos/NAME. Raises UserError."""
    at = footage.path.parent.resolve() / footage.path.name
    videos = VIDEOS.resolve()
    if at == videos or not at.is_relative_to(videos):
        return VIDEOS / f"{name}{footage.suffix}"
    place = VIDEOS / at.relative_to(videos)
    odd = str(place) != str(place).strip() or "${" in str(place) or not str(place).isprintable()
    if odd:  # surrogates, which stand for bytes that are no UTF-8, aren't printable
        raise UserError(f"{str(place)!r} has letters in its name that can't stand in params.yaml: rename it first")
    if footage.left_out:
        raise UserError(f"{place} holds more than images ({', '.join(footage.left_out[:3])}): take that out first")
    return place


def bring_in(videos: Sequence[tuple[Footage, Path]], undo: ExitStack) -> None:
    """Copy videos to their places and track them; `undo` learns to take that back. Raises UserError.

    What lies there already is taken as it is when it is the same, and is never deleted.
    """
    for footage, place in videos:
        copy_in(footage, place, undo)
    track(*(place for _, place in videos))


def copy_in(footage: Footage, place: Path, undo: ExitStack) -> None:
    """Copy a video to its place. As `bring_in`, before anything is tracked."""
    there = place.exists() or place.is_symlink()
    if there and not footage.is_same(place):
        raise UserError(f"{place} is there already, and not in params.yaml: give another --name, or delete it")
    for folder in reversed(place.parents):  # what is taken back last was made first
        if not folder.exists():
            undo.callback(_remove_folder, folder)
    for file in (place.with_name(f"{place.name}.dvc"), place.parent / ".gitignore"):
        undo.callback(put_back(file))
    if not there:
        undo.callback(_delete, place)
        sweep(place)
        with atomic(place) as fresh:
            footage.copy_to(fresh)


def track(*places: Path) -> None:
    """Let DVC keep files and folders, those that git doesn't. Raises UserError with DVC's reason."""
    places = tuple(place for place in places if not _is_in_git(place))
    if not places:
        return
    # without new links: DVC would delete the file for a moment, and it may be the only one
    dvc = [sys.executable, "-m", "dvc", "--wait-for-lock", "add", "--no-relink", *map(str, places)]
    done = subprocess.run(dvc, capture_output=True, text=True, errors="replace")
    if done.returncode:
        what = str(places[0]) + (f" and {len(places) - 1} more" if len(places) > 1 else "")
        raise UserError(f"DVC can't track {what}: {_reason(done.stderr) or f'it ended with {done.returncode}'}")


def _is_in_git(place: Path) -> bool:
    command = ["git", "ls-files", "--error-unmatch", "--", str(place)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _reason(output: str) -> str:
    """DVC's error, on one line; without its colours, progress bars and hints where to look further."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r", "\n")
    error = plain.rpartition("ERROR:")[2] if "ERROR:" in plain else plain
    return " ".join(error.split())[:400]


def _delete(place: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(place) if place.is_dir() else place.unlink()


def _remove_folder(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
