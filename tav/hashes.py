"""What lies at a source of weights: its files' hashes, or its commit on the Hugging Face hub.

A hash is kept by the file's path, size and time, as DVC keeps its own: weights of gigabytes are read once.
"""

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from tav.params import UserError, split_source

READ = {".json", ".model", ".safetensors", ".txt"}
"""Kinds of files that are read of a model's folder. A README beside them says nothing of what it makes."""
PICTURES = {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
"""Kinds of files that are read of a folder without a model in it."""
KEPT = Path(".dvc/tmp/tav-hashes.json")
"""The hashes that are known. Lost without harm."""


def what_is_at(source: str) -> dict[str, Any]:
    """{"source", "commit", "files"}: the commit of a model on the hub, else name -> sha256 of each file that is read.

    Raises UserError: nothing there.
    """
    hub_id, revision = split_source(source)
    if hub_id:
        return {"source": source, "commit": commit_of(hub_id, revision), "files": {}}
    path = Path(source)
    if not path.exists():
        raise UserError(f"{source}: no such folder or file; a model on the hub is hub:owner/name@revision")
    files = [path] if path.is_file() else _read_of(path)
    if not files:
        raise UserError(
            f"{source} holds neither a model nor pictures: expected a folder with .safetensors and .json files, or one "
            "with images"
        )
    hashes = _hashes(files)
    names = {path.name: path} if path.is_file() else {f.relative_to(path).as_posix(): f for f in files}
    return {"source": source, "commit": None, "files": {name: hashes[file] for name, file in names.items()}}


def _read_of(folder: Path) -> list[Path]:
    """The files that are read of a folder: a model's, or pictures where it has none. Hidden ones are not."""
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    files = [file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    if any(file.suffix in (".json", ".safetensors") for file in files):
        return [file for file in files if file.suffix in READ]
    return [file for file in files if file.suffix.lower() in PICTURES]


def commit_of(hub_id: str, revision: str | None) -> str:
    """The commit that a branch or tag on the hub means now; of the hub's cache here where it can't be reached.

    Downloads configurations only. Raises UserError.
    """
    if revision and re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=["*.json"])).name
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{hub_id}: not found on the hub, nor in its cache here ({reason})") from None


def _hashes(files: list[Path]) -> dict[Path, str]:
    """The sha256 of each file, read only where its path, size and time are new."""
    known, hashes = _known(), {}
    for file in files:
        stat = file.stat()
        mark = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        hashes[file] = known[mark] = known.get(mark) or sha256(file)
    _keep(known)
    return hashes


def known_sha256(file: Path) -> str:
    """The sha256 of a file, read only where its path, size and time are new."""
    return _hashes([file])[file]


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _known() -> dict[str, str]:
    try:
        return dict(json.loads(KEPT.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _keep(known: dict[str, str]) -> None:
    if known == _known() or not KEPT.parent.is_dir():
        return
    handle, fresh = tempfile.mkstemp(dir=KEPT.parent, prefix="tav-hashes.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(known, file)
    Path(fresh).replace(KEPT)
