"""DVC's remote: what a stage takes from there and brings there. `python -m flows.remote.store push|pull NAME ...`

With flows/dvc_api.py all that we use of DVC's Python interface. Imports DVC, so import this where it is needed.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from dvc.config import ConfigError
from dvc.exceptions import CheckoutError, DownloadError, DvcException, UploadError
from dvc.repo.reproduce import get_active_graph, plan_repro

from flows import dvc_api
from flows.ends import TEMPORARY
from flows.remote.secret import hidden

MODELS = Path("artifacts/models")
"""Where the stage `model` writes what each model is."""
WAITS = (2.0, 5.0, 15.0, 30.0, 60.0, 60.0, 120.0)
"""Seconds between two tries to reach a remote that went away."""


def pull(repo: Any, names: Sequence[str]) -> None:
    """Bring the outputs of stages, and files that DVC tracks, into the workspace. Raises DvcException, OSError."""
    if names:
        patiently(lambda: repo.pull(targets=list(names)))


def push(repo: Any, names: Sequence[str]) -> None:
    """Bring the outputs of stages, and files that DVC tracks, to the remote. Raises DvcException, OSError."""
    if names:
        patiently(lambda: repo.push(targets=list(names)))


def patiently(act: Callable[[], object], waits: Iterable[float] = WAITS) -> None:
    """Try again while the remote is away. Raises what the last try raised."""
    for wait in waits:
        try:
            act()
            return
        except (UploadError, DownloadError, CheckoutError, OSError) as error:
            print(f"the DVC remote: {first_words(error)}; next try in {wait:.0f} s", flush=True)
            time.sleep(wait)
    act()


def first_words(error: BaseException) -> str:
    """An error in a line, without passwords."""
    return hidden(" ".join(str(error).split())) or type(error).__name__


def bring(repo: Any, name: str) -> None:
    """Bring what a stage needs, and what it made before, when all but its outputs is as dvc.lock says.

    That may not be on the remote: then it is made again.
    """
    stage = _stage(repo, name)
    tracked = {name for name in weights(repo, models_of(repo, [name])).values() if name}
    pull(repo, sorted(tracked | {before.addressing for before in repo.index.graph.successors(stage)}))
    with repo.lock:
        is_made = not (stage.changed_deps() or stage.changed_stage()) and all(out.hash_info for out in stage.outs)
    if is_made and any(not out.exists for out in stage.outs):
        try:
            repo.pull(targets=[name])
        except (DvcException, OSError) as error:
            print(f"{name} was made before, but can't be had ({first_words(error)})", flush=True)


def _stage(repo: Any, name: str) -> Any:
    return next(stage for stage in repo.index.graph if stage.addressing == name)


def order(repo: Any) -> list[str]:
    """All stages as `dvc repro` makes them, one after the other."""
    return [stage.addressing for stage in plan_repro(get_active_graph(repo.index.graph))]


def leaves(repo: Any, names: Iterable[str]) -> dict[str, str]:
    """What these stages read that no stage makes and DVC does not track: path -> a stage that reads it."""
    outs = [out.fs_path for stage in repo.index.graph for out in stage.outs if out.protocol == "local"]
    made_paths = set(outs)
    readers = {}
    for name in names:
        for dep in _stage(repo, name).deps:
            known = dep.fs_path in made_paths or any(
                dep.fs_path.startswith(f"{out}/") or out.startswith(f"{dep.fs_path}/") for out in outs
            )
            if dep.protocol == "local" and not known and type(dep).__name__ != "ParamsDependency":
                readers[str(dep.def_path)] = name
    return readers


def models_of(repo: Any, names: Iterable[str]) -> set[str]:
    """The models that these stages use, by their names in artifacts/models."""
    deps = [Path(str(dep.def_path)) for name in names for dep in _stage(repo, name).deps]
    return {path.stem for path in deps if path.parent == MODELS}


def weights(repo: Any, models: Iterable[str]) -> dict[str, str | None]:
    """Paths that these models are read from -> the file by which DVC tracks them, if it does."""
    from tav.params import load, split_source

    sources = load().sources()
    paths = [s for name in models for s in sources.get(name, []) if not split_source(s)[0]]
    outs = {out.fs_path: stage.addressing for stage in repo.index.graph for out in stage.outs}

    def tracked(path: str) -> str | None:
        full = str(Path(path).absolute())
        holds = (name for out, name in outs.items() if f"{full}/".startswith(f"{out}/") or out.startswith(f"{full}/"))
        return next(holds, None)

    return {path: tracked(path) for path in paths}


def check_remote(repo: Any) -> str:
    """The name of the default remote. Raises tav.params.UserError where there is none."""
    from tav.params import UserError

    try:
        return str(repo.cloud.get_remote().name)
    except ConfigError as error:
        raise UserError(
            f"workers need a DVC remote ({first_words(error).partition(' Create')[0].partition(' Setup')[0]}): "
            "`dvc remote add -d store ADDRESS` (a folder that all machines see, s3://bucket/path, ssh://...)"
        ) from None


def main(what: str, names: list[str]) -> int:
    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with dvc_api.repository() as repo:
            {"push": push, "pull": pull}[what](repo, names)
    except (DvcException, OSError) as error:
        print(f"the DVC remote: {first_words(error)}", file=sys.stderr)
        return TEMPORARY
    return 0


if __name__ == "__main__":
    from tav.processes.ending import end_with_parent

    end_with_parent()
    sys.exit(main(sys.argv[1], sys.argv[2:]))
