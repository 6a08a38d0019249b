"""A small project whose whole DAG takes seconds, and a DVC forked from a process that has its imports done."""

import importlib
import itertools
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import psutil
from project import ROOT, make_project, write_params
from tiny import tiny_clip, tiny_stable_diffusion
from trials.forked import forked

from tav.running.handing import place_of

ENV = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # dvc.yaml's commands say `python`
    "PYTHONPATH": str(ROOT),
    "TAV_TRACKING": "off",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
}
STEPS = 6
LOGS = itertools.cycle(range(4))
"""So many runs at once have logs of their own."""
METERED = re.compile(r'("(seconds|peak_memory_gb)": )[0-9.e-]+')
"""What no two runs have alike."""
CLOCKED = re.compile(r"(loss\.csv|tuning\.json|inversion\.json|edit\.json)$|^artifacts/(report|tune|invert|edit)$")
"""Files that hold such values, and folders that hold such files."""


def make_small(folder: Path, *, models: bool = True) -> None:
    """A project with one video with sound and one edit, under git and DVC. Nothing is made yet.

    models: with them, which the stages but `extract` need.
    """
    data = make_project(folder, Path("models"), audio=True)
    if models:
        tiny_stable_diffusion(folder / "models/stable-diffusion")
        tiny_clip(folder / "models/clip")
    data["caption"]["model"] = None
    data["tune"] |= {"steps": STEPS, "checkpoint_every": 1, "sample_every": 3}
    write_params(folder, data)
    for name in (".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, env=ENV, check=True)


STAGES = [*("model", "extract@cat", "caption@cat", "tune@cat", "invert@cat", "condition@cat"), "edit@cat--dog"]
STAGES += ["evaluate@cat--dog", "report"]


def modules_used(project: Path, stages: list[str]) -> list[str]:
    """The modules that DVC and these stages import, in order. A child runs them all in a small project, and tells."""
    said, broke = forked(lambda: _modules_used(project, stages), 1200, memory=None)
    if broke:
        raise SystemExit(f"error: the small project could not be made: {broke}")
    return said.split()


def import_all(modules: list[str]) -> None:
    """Import these, so that children that are forked have them. Nothing is computed here before a fork."""
    for name in modules:
        with suppress(Exception):
            importlib.import_module(name)


def _modules_used(project: Path, stages: list[str]) -> str:
    """By names, in the order of their import."""
    from dvc.cli import main

    from tav.running.stage import run_stage

    os.chdir(project)
    os.environ.update(ENV)
    for name in stages:
        run_stage(*name.split("@"))
    for words in (["commit", "--force", "--quiet", *stages], ["repro", "--quiet", "--single-item", stages[0]]):
        main(words)
    return "\n".join(name for name in sys.modules if not name.startswith("__"))


class Dvc:
    """DVC at work on the project in the current folder, as a process of its own."""

    def __init__(self, project: Path, *words: str, resident: str = "forked", largest: int = -1) -> None:
        """resident: forked (the worker has its imports from us), own (it starts as it does for users), off.

        largest: bytes of the largest file that may be written; -1: any.
        """
        self.project, self.log = project, Path(tempfile.gettempdir(), f"{project.name}-{os.getpid()}-{next(LOGS)}.log")
        env = ENV | ({"TAV_RESIDENT": "off"} if resident == "off" else {})
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (largest, largest))
        go, ready = os.pipe()
        self.pid = fork(lambda: (limit(), _dvc(go, ready, project, self.log, env, words)))
        forked = resident == "forked"
        self.resident = fork(lambda: (limit(), _reside(project, self.pid, [go, ready]))) if forked else None
        os.close(go)
        if self.resident:  # its socket is there before DVC asks for it
            wait_until(lambda: (project / _place(self.pid)).exists() or None)
        os.write(ready, b"+")
        os.close(ready)

    def wait(self, seconds: float = 300) -> int | None:
        """Its exit code; minus the signal's number where one ended it. None: it still ran, and is killed."""
        ended = wait_until(lambda: ended_as(self.pid), seconds)
        if ended is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        return ended

    def said(self) -> str:
        return self.log.read_text(errors="replace")


def copy_of(project: Path, target: Path) -> Path:
    """A project anew in a folder, without its locks."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(project, target, ignore=shutil.ignore_patterns(".lock", "used")))


def _place(pid: int) -> Path:
    return place_of(str(pid))


def fork(act: Callable[[], object]) -> int:
    """A child that does this, and ends with 1 when it comes back from it."""
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
    finally:
        os._exit(1)


def _dvc(go: int, ready: int, project: Path, log: Path, env: dict[str, str], words: tuple[str, ...]) -> NoReturn:
    os.close(ready)
    os.setsid()
    os.chdir(project)
    os.environ.clear()
    os.environ.update(env)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.read(go, 1)
    os.close(go)
    from dvc.cli import main

    os._exit(main(list(words)))


def _reside(project: Path, owner: int, pipes: list[int]) -> NoReturn:
    for pipe in pipes:
        os.close(pipe)
    os.setsid()
    os.chdir(project)
    os.environ.clear()
    os.environ.update(ENV)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    place = _place(owner)
    place.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    listener.listen()
    from tav.running.commands import reside

    reside(os.dup(listener.fileno()), owner)
    os._exit(0)


def ended_as(pid: int) -> int | None:
    """The exit code of a child that has ended."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def wait_until(seen: Callable[[], Any], seconds: float = 60) -> Any:
    """What `seen` gives as soon as that is something else than None; None when it does not within so many seconds."""
    end = time.monotonic() + seconds
    while (found := seen()) is None and time.monotonic() < end:
        time.sleep(0.01)
    return found


def running(pid: int) -> bool:
    """Whether a child of ours has not ended. Leaves it to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def cpu(pid: int) -> float:
    """CPU seconds of a process, and of its children that have ended."""
    with suppress(psutil.Error):
        return float(sum(psutil.Process(pid).cpu_times()[:4]))
    return 0.0


def let_go(dvc: Dvc) -> None:
    """Wait until the worker of a DVC that is gone has ended too, as it does by itself."""
    worker = dvc.resident
    if worker and wait_until(lambda: ended_as(worker), 30) is None:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        raise AssertionError("the resident worker outlived its DVC by 30 s")
    dvc.resident = None


def results(project: Path) -> dict[str, Any]:
    """All files that stages made, and dvc.lock, without what clocks said."""
    root = project / "artifacts"
    files = [file for file in root.rglob("*") if file.is_file() and ".lock" not in file.relative_to(root).parts]
    found: dict[str, Any] = {str(file.relative_to(project)): content(file) for file in sorted(files)}
    return found | {"dvc.lock": lock_entries(project / "dvc.lock")}


def content(file: Path) -> Any:
    """What a file says, without what a clock or a memory meter said."""
    if file.suffix == ".json":
        return METERED.sub(r"\1", file.read_text())
    if file.name == "loss.csv":
        return [line.rpartition(",")[0] for line in file.read_text().splitlines()]
    if file.suffix == ".html":
        return re.sub(r"\d+ s\b|[\d.]+ GB", "", file.read_text())
    return file.read_bytes()


def outs_of(project: Path, stage: str) -> dict[str, Any]:
    """What one stage made, and what dvc.lock says of it."""
    place = f"artifacts/{'models' if stage == 'model' else stage.replace('@', '/')}"
    made = {name: what for name, what in results(project).items() if name.startswith(place)}
    return made | {"dvc.lock": lock_entries(project / "dvc.lock")["stages"].get(stage)}


def lock_entries(lock: Path) -> Any:
    """dvc.lock, without the hashes of what holds a clock's word."""
    from ruamel.yaml import YAML

    data = YAML(typ="safe", pure=True).load(lock)
    for stage in data["stages"].values():
        for item in (*stage.get("deps", []), *stage.get("outs", [])):
            if CLOCKED.search(item["path"]):
                for key in ("md5", "size"):
                    item.pop(key, None)
    return json.loads(json.dumps(data))
