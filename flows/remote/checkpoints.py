"""A tuning's checkpoints on DVC's remote, beside its files: `REMOTE/tav/REV/KEY/NAME`, until the stage has ended.

python -m flows.remote.checkpoints save KEY REV KEPT    what is not in KEPT yet; prints the list of all
python -m flows.remote.checkpoints load KEY REV KEPT    writes checkpoints/KEY
python -m flows.remote.checkpoints drop KEY REV {}      of a key; KEY "" of the whole run
"""

import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flows import ends

FOLDER = Path("checkpoints")
"""Where tav.stages.tune keeps them."""
Kept = dict[str, str]
"""Name, relative to the key's folder -> sha256."""


def save(key: str, rev: str, before: Kept) -> Kept:
    """Bring the files of `checkpoints/KEY` to the remote. before: those that are there, which are not sent again.

    A name always holds the same bytes: they are step numbers, and files are written at once.
    """
    with _remote() as (fs, root), _held(FOLDER / key) as held:
        kept = {name: before.get(name) or _sha256(file) for name, file in held.items()}
        place = fs.join(root, "tav", rev, key)
        for name in kept.keys() - before.keys():
            target = fs.join(place, name)
            fs.makedirs(fs.parent(target), exist_ok=True)
            fs.put_file(str(held[name]), target)
        listed = {fs.join(place, name) for name in {*before, *kept}}
        old = [path for path in _files(fs, place) if path not in listed]
        if old:
            fs.remove(old)
    return kept


def load(key: str, rev: str, kept: Kept) -> list[str]:
    """Bring checkpoints back to `checkpoints/KEY`. What lies there stays. Gives the names of those that came."""
    came = []
    with _remote() as (fs, root):
        for name, digest in kept.items():
            target = FOLDER / key / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                fresh = target.with_name(f".tmp-{target.name}")
                fs.get_file(fs.join(root, "tav", rev, key, name), str(fresh))
                if _sha256(fresh) == digest:
                    fresh.replace(target)
                    came.append(name)
                else:
                    fresh.unlink()
    return came


def drop(key: str, rev: str) -> None:
    """Delete them from the remote. Nothing happens where there are none."""
    with _remote() as (fs, root):
        files = _files(fs, fs.join(root, "tav", rev, key) if key else fs.join(root, "tav", rev))
        if files:
            fs.remove(files)


def _files(fs: Any, place: str) -> list[str]:
    with suppress(FileNotFoundError):
        return list(fs.find(place))
    return []


def names(key: str) -> set[str]:
    """The whole files of `checkpoints/KEY`: those that are being written begin with a dot."""
    folder = FOLDER / key
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {name.as_posix() for name in files if not any(part.startswith(".") for part in name.parts)}


@contextmanager
def _remote() -> Iterator[tuple[Any, str]]:
    """The file system of DVC's default remote, and the folder there."""
    from flows import dvc_api

    with dvc_api.repository() as repo:
        remote = repo.cloud.get_remote()
        yield remote.fs, remote.path


@contextmanager
def _held(folder: Path) -> Iterator[dict[str, Path]]:
    """The whole files of a folder, as links: the tuning may delete its own meanwhile."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tmp-") as place:
        held: dict[str, Path] = {}
        for name in sorted(names(folder.name)):
            link = Path(place, str(len(held)))
            with suppress(FileNotFoundError):
                os.link(folder / name, link)
                held[name] = link
        yield held


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def main(what: str, key: str, rev: str, kept: str) -> int:
    """kept: what `save` printed, as JSON."""
    logging.getLogger("dvc").setLevel(logging.ERROR)
    from flows.remote.store import first_words

    given: Kept = json.loads(kept)
    try:
        if what == "save":
            print(json.dumps(save(key, rev, given)))
        elif what == "load":
            print(json.dumps(load(key, rev, given)))
        else:
            drop(key, rev)
    except Exception as error:
        print(f"checkpoints of {key}: {first_words(error)}", file=sys.stderr)
        return ends.TEMPORARY
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
