"""What DVC found the hash of a file or folder to be, kept by time, size and number of each file, as DVC keeps its own.

DVC itself asks its database for each file of a folder, and hashes the list of them, for each stage that has the folder.
A look at the files alone costs a tenth of that.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dvc.fs import LocalFileSystem
from dvc_data.hashfile.hash_info import HashInfo

from flows.dvc_lock import keep_json

KEPT = "tav/hashes.json"
"""In DVC's own folder for what no commit has: path -> its seal, and the hash that it had."""
IGNORE = ".dvcignore"
APART = {IGNORE, ".dvc", ".git", ".hg"}
"""Of a folder that has such an entry DVC knows more than we do."""


class Hashes:
    """The hashes of a project's files and folders. Each is looked at once, until `forget`."""

    def __init__(self, repo: Any) -> None:
        self._root, self._file = str(repo.root_dir), Path(repo.tmp_dir, KEPT)
        self._before: dict[str, list[str]] = {}
        with suppress(OSError, ValueError):
            self._before = json.loads(self._file.read_text(encoding="utf-8"))
        self._seen: dict[str, list[str]] = {}
        self._known: dict[tuple[str, ...], HashInfo] = {}
        self._seals: dict[str, str] = {}
        self._rules: dict[str, str] = {}

    def of(self, item: Any) -> HashInfo:
        """The hash of a dependency or output as it lies there, as its `get_hash` finds it. Raises what that does."""
        what = item.fs.protocol, item.fs_path, item.hash_name
        if what not in self._known:
            self._known[what] = self._look(item)
        return self._known[what]

    def _look(self, item: Any) -> HashInfo:
        path: str = item.fs_path
        ours = (
            isinstance(item.fs, LocalFileSystem) and item.hash_name == "md5" and Path(path).is_relative_to(self._root)
        )
        seal = self._sealed(path) if ours else ""  # before it is hashed: what is written then is seen the next time
        if seal and path in self._before and self._before[path][0] == seal:
            return HashInfo("md5", self._before[path][1])
        found = _hash(item)
        if seal and found.value:
            self._seen[path] = [seal, found.value]
        return found

    def keep(self) -> None:
        """What was found, for the next time."""
        if not self._seen:
            return
        with suppress(OSError):
            keep_json(self._file, self._before | self._seen)

    def seals(self, paths: Iterable[str]) -> list[str]:
        """What tells whether each of these is as it was. "": we can't say, as of links."""
        return [self._sealed(path) for path in paths]

    def forget(self) -> None:
        """Somebody may have written since: look at all anew."""
        self._known.clear()
        self._seals.clear()

    def _sealed(self, path: str) -> str:
        if path not in self._seals:
            self._seals[path] = self._seal(path)
        return self._seals[path]

    def _seal(self, path: str) -> str:
        """Of a file its time, size and number; of a folder a hash of those of its files, and of DVC's rules there."""
        with suppress(OSError, ValueError):
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode):
                return _times(found)
            if stat.S_ISDIR(found.st_mode):
                listed = "\n".join([self._ignored(path), *sorted(_list(path, ""))])
                return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
        return ""

    def _ignored(self, folder: str) -> str:
        """The rules that DVC has for what lies in a folder: those of all folders above it."""
        above = str(Path(folder).parent)
        if folder == self._root:
            return ""
        if above not in self._rules:
            rules = Path(above, IGNORE)
            said = rules.read_text(encoding="utf-8") if rules.exists() else ""
            self._rules[above] = f"{self._ignored(above)}\n{said}"
        return self._rules[above]


def _hash(item: Any) -> HashInfo:
    """As `Output.get_hash`, of what is not about to be put into the cache."""
    kept_in = item.cache if item.use_cache else item.local_cache
    rest = {"ignore": item.dvcignore, "dry_run": True}
    found: HashInfo = item._build(kept_in, item.fs_path, item.fs, item.hash_name, **rest)[2].hash_info
    return found


def _list(folder: str, name: str) -> list[str]:
    """A line for each file of a folder. Raises ValueError where one is no plain file."""
    lines = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in APART or entry.is_symlink():
                raise ValueError(f"not for us: {entry.path}")
            if entry.is_dir():
                lines += _list(entry.path, f"{name}{entry.name}/")
            else:
                lines.append(f"{name}{entry.name}\t{_times(entry.stat())}")
    return lines


def _times(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"
