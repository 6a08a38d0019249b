"""A small real project: git, DVC, a dvc.yaml with foreach, and stages that do what a test tells them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ENV = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}

DVC_YAML = """
stages:
  first:
    foreach: ${videos}
    do:
      cmd: python stage.py first@${key} made/first-${key}
      deps: [how/first.py, "data-${key}.txt"]
      params: ["videos.${key}.tune"]
      outs: ["made/first-${key}"]
      meta: {pool: gpu, retries: 1, timeout: 60, colour: red}
  second:
    foreach: ${videos}
    do:
      cmd: python stage.py second@${key} made/second-${key}
      deps: [how/second.py, "made/first-${key}"]
      outs: ["made/second-${key}"]
  last:
    cmd: python stage.py last made/last
    deps: [made/second-a, made/second-b]
    outs: [made/last]
"""

STAGE_PY = """
import os, pathlib, signal, sys, time
name, out = sys.argv[1:]
with open("ran.txt", "a") as file:
    file.write(f"{name} {os.environ['OMP_NUM_THREADS']} {time.time()}\\n")
how = pathlib.Path("how", name.split("@")[0] + ".py")
if how.exists():
    exec(how.read_text())  # what the test wants of this stage
pathlib.Path("made").mkdir(exist_ok=True)
pathlib.Path(out).write_text(name)
"""

PARAMS = {
    "videos": {key: {"path": f"data-{key}.txt", "caption": "a cat", "extract": {}, "tune": {}} for key in "ab"},
    "edits": {},
    "base": {"source": "model"},
    "compute": {},
    "extract": {},
    "caption": {"model": {"source": "model"}},
    "tune": {},
    "invert": {},
    "edit": {},
    "evaluate": {"clip": {"source": "model"}},
}


def sh(*command: str) -> str:
    done = subprocess.run(command, env={**ENV, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(seen: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.2)


def left(folder: Path) -> list[str]:
    """The processes that work in a folder, ours aside."""
    found = []
    for running in psutil.process_iter():
        try:
            if running.pid != os.getpid() and Path(running.cwd()).is_relative_to(folder):
                found.append(running.name())
        except psutil.Error:  # a zombie, or not ours to ask
            pass
    return found


def locked() -> bool:
    """Whether DVC holds a stage of the project locked, or the project itself."""
    import zc.lockfile

    zc.lockfile.LockFile(".dvc/tmp/lock").close()  # raises when it is held
    return any(json.loads(Path(".dvc/tmp/rwlock").read_text()).values())
