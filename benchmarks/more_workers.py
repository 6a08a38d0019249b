"""How much sooner more workers are done: `tav run --workers` of stages that sleep, with 1, 2 and 4 of them.

    python benchmarks/more_workers.py [--workers 1 2 4] [--videos 4] [--seconds 10] [--keep FOLDER]

Starts Prefect's server and the workers, each in a clone of its own and held to one core, on this machine; DVC's remote
is a folder. Each number of workers makes the same project from nothing. Prints a Markdown table, a line as it comes:
seconds from the command to its end, and what they would be at the best: the sleeping alone, the longest videos first,
and before and after it the stages of no video.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from scale_project import make_project
from workers import server, sh, start

TAV = [sys.executable, "-m", "tav"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10, help="that each stage sleeps")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and leave it")
    given = parser.parse_args()
    with ExitStack() as stack:
        root = (given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))).absolute()
        env = environment(root, given.seconds)
        make_hub(root, given.videos, env)
        env["PREFECT_API_URL"] = server(root, env, stack)
        print("| workers | seconds | at the best | times as fast as one |\n| --- | --- | --- | --- |", flush=True)
        one = 0.0
        for count in given.workers:
            took = run(root, count, env)
            one = one or took
            best = given.seconds * slots(given.videos, count)
            print(f"| {count} | {took:.0f} | {best:.0f} | {one / took:.2f} |", flush=True)


def environment(root: Path, seconds: float) -> dict[str, str]:
    env = {**os.environ, "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1", "SLEEP": str(seconds)}
    env |= {"PREFECT_HOME": str(root / "prefect"), "TAV_TRACKING": "off", "TAV_RESIDENT": "off"}
    return env | {f"GIT_{who}_{what}": "tav@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def make_hub(root: Path, videos: int, env: dict[str, str]) -> None:
    """A bare repository with the project, of which nothing is made, and DVC's remote beside it."""
    first = root / "first"
    make_project(first, videos)
    sh([sys.executable, "-m", "dvc", "remote", "add", "--default", "store", str(root / "store")], first, env)
    for words in (["add", "--all"], ["commit", "--quiet", "--message", "Stages that sleep"]):
        sh(["git", *words], first, env)
    sh(["git", "clone", "--quiet", "--bare", str(first), "hub.git"], root, env)


def run(root: Path, count: int, env: dict[str, str]) -> float:
    """Seconds of a whole run by so many workers."""
    names = [f"w{i}" for i in range(count)]
    shutil.rmtree(root / "store", ignore_errors=True)
    with ExitStack() as stack:
        for name in ("driver", *names):
            shutil.rmtree(root / name, ignore_errors=True)
            sh(["git", "clone", "--quiet", "hub.git", name], root, env)
        cores = sorted(os.sched_getaffinity(0))
        workers = [start(["tav", "worker"], root / name, env, stack) for name in names]
        for i, worker in enumerate(workers):
            worker.cpu_affinity([cores[i % len(cores)]])  # what it starts later is held to it too
        wait_for_workers(root, workers, env)
        began = time.monotonic()
        log = stack.enter_context((root / f"driver-{count}.log").open("w"))
        subprocess.run([*TAV, "run", "--workers"], cwd=root / "driver", env=env, stdout=log, stderr=log, check=True)
        return time.monotonic() - began


def wait_for_workers(root: Path, workers: list[object], env: dict[str, str]) -> None:
    """Until Prefect's server has heard of all."""
    ask = "from flows.remote.server import online; print(online('gpu'))"
    for _ in range(200):
        told = subprocess.run([sys.executable, "-c", ask], cwd=root / "driver", env=env, capture_output=True, text=True)
        if told.stdout.strip() == str(len(workers)):
            return
        time.sleep(2)
    raise SystemExit("error: the workers did not come up")


def slots(videos: int, workers: int) -> int:
    """How many stages come after each other at the least: a worker with one core makes one at a time."""
    busy = [0] * workers
    for stages in sorted((5 + 2 * (3 + n % 2) for n in range(videos)), reverse=True):
        busy[busy.index(min(busy))] += stages  # extract, caption, tune, invert, condition, and two for each edit
    return max(busy) + 2  # model before it, the report after it


if __name__ == "__main__":
    main()
