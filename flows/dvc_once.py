"""What DVC does anew for each stage, done once. Same answers, same dvc.lock; only the time is another.

DVC parses params.yaml for each stage that has a parameter there, and searches all of it for each parameter, which grows
with the square of the project; it locks for each stage, hashes a path for each stage that has it, and checks the
settings of a file system for each path. dvc.lock is in flows/dvc_lock.py, the hashes are in flows/dvc_hash.py.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import dpath
import dvc.dependency.param
import dvc.dvcfile
import dvc.output
import dvc.repo.reproduce
import dvc.repo.status
import dvc.rwlock
from dvc.dependency.db import AbstractDependency
from dvc.dependency.repo import RepoDependency
from dvc.dvcfile import PROJECT_FILE
from dvc.fs import LocalFileSystem
from dvc.output import Output
from dvc.utils.serialize import parse_yaml

from flows import dvc_lock
from flows.dvc_hash import Hashes

_read_by_dvc = dvc.dependency.param.read_param_file
_status_by_dvc = dvc.repo.status._joint_status
_collect_by_dvc = dvc.repo.reproduce.collect_stages
_file_system_by_dvc = dvc.output.get_cloud_fs

APART = (RepoDependency, AbstractDependency)
"""What is of no file here, and has no lock."""
PART = re.compile(r"[\w@-]+")
"""Of a parameter's name: no pattern."""


def install() -> None:
    """Have DVC of this process do so."""
    dvc.dependency.param.read_param_file = read_parameters
    dvc.dvcfile.Lockfile.dump_stages = dvc_lock.dump_stages
    dvc.dvcfile.Lockfile._load_yaml = dvc_lock.load
    dvc.repo.status._joint_status = joint_status
    dvc.repo.reproduce.collect_stages = collect_stages
    dvc.output.get_cloud_fs = file_system


def read_parameters(fs: Any, path: str, key_paths: list[str] | None = None, flatten: bool = False, **how: Any) -> Any:
    """As DVC's `read_param_file`, which parses the file each time."""
    if how or not flatten or not key_paths or not isinstance(fs, LocalFileSystem) or not path.endswith(".yaml"):
        return _read_by_dvc(fs, path, key_paths, flatten, **how)
    try:
        data = _parsed(path)
    except UnicodeDecodeError:
        return _read_by_dvc(fs, path, key_paths, flatten)
    values = {}
    for key in key_paths:
        try:
            values[key] = _at(data, key)
        except KeyError:
            continue
    return deepcopy(values)  # at once, so that what was one object stays one


def joint_status(pairs: Iterable[tuple[Any, Any]], check_updates: bool = True) -> dict[str, list[Any]]:
    """As DVC's `_joint_status`, which locks and hashes for each stage: here all is locked, and each path hashed once.

    pairs: stages, and what of them counts. Raises LockError where one of them is being made.
    """
    pairs = list(pairs)
    return looked_at(pairs, Hashes(pairs[0][0].repo), check_updates) if pairs else {}


def looked_at(pairs: list[tuple[Any, Any]], hashes: Hashes, check_updates: bool = True) -> dict[str, list[Any]]:
    """As `joint_status`, with these hashes."""
    repo = pairs[0][0].repo
    paths = [item.fs_path for stage, _ in pairs for item in (*stage.deps, *stage.outs) if not isinstance(item, APART)]
    hardlink = repo.config["core"].get("hardlink_lock", False)
    held = dvc.rwlock.rwlock(repo.tmp_dir, repo.fs, " ".join(sys.argv), list(dict.fromkeys(paths)), [], hardlink)
    once = _instead(Output, "get_hash", lambda item: hashes.of(item))
    with held, once, _instead(dvc.rwlock, "rwlock", lambda *_: nullcontext()):
        status: dict[str, list[Any]] = _status_by_dvc(pairs, check_updates)
    hashes.keep()
    return status


def collect_stages(repo: Any, targets: Any, recursive: bool = False, glob: bool = False) -> list[Any]:
    """As DVC's `collect_stages`, which reads dvc.yaml anew where all of it is asked for."""
    if list(targets) == [PROJECT_FILE] and not recursive and not glob:
        path = repo.fs.abspath(PROJECT_FILE)
        if found := [stage for stage in repo.index.stages if stage.path == path]:
            return found
    return _collect_by_dvc(repo, targets, recursive, glob)  # type: ignore[no-any-return]


def file_system(config: Any, **given: Any) -> Any:
    """As DVC's `get_cloud_fs`: the class for a path, its settings, and the path as that class has it."""
    checksum_jobs = (config or {}).get("core", {}).get("checksum_jobs")
    if given.keys() != {"url"} or ":" in given["url"] or checksum_jobs:
        return _file_system_by_dvc(config, **given)
    return _local, {}, LocalFileSystem._strip_protocol(given["url"])


@cache
def _local() -> Any:
    """The one of this machine."""
    return LocalFileSystem()


@contextmanager
def _instead(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


_known: dict[str, tuple[bytes, Any]] = {}
"""Path -> what was in it, and what that says."""


def _parsed(path: str) -> Any:
    content = Path(path).read_bytes()
    if path not in _known or _known[path][0] != content:
        _known[path] = content, parse_yaml(content.decode(), path)
    return _known[path][1]


def _at(data: Any, name: str) -> Any:
    """What lies at `a.b`, as `dpath.get` finds it, which walks through everything. Raises KeyError."""
    at = data
    for part in name.split("."):
        if not PART.fullmatch(part) or not isinstance(at, dict) or part not in at or not all(map(_is_text, at)):
            return dpath.get(data, name, separator=".")
        at = at[part]
    return at


def _is_text(key: Any) -> bool:
    return isinstance(key, str)
