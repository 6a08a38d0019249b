"""What DVC, the flow and our commands cost by themselves: a project of many videos whose stages only write files.

    python benchmarks/scale.py [--videos 3 42 86] [--dvc] [--flow] [--keep FOLDER] [--json FILE]

All stages are made once, in one process. Then come, each as a process of its own: nothing to do, for `tav run`,
`tav dvc status`, `tav dvc repro`, `tav plan` and `tav record` (--dvc: also for DVC's own `dvc status` and `dvc repro`,
which take minutes); one changed edit, which makes two stages and the report, for `tav dvc repro`; and (--flow: it
starts Prefect) an edit changed and all extracted anew, for `tav run`. Prints wall seconds, and CPU seconds of the
process and its children: those stay true on a busy machine. 86 videos have 301 edits.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scale_project import make_all, make_project

DVC, TAV = [sys.executable, "-m", "dvc"], [sys.executable, "-m", "tav"]
Seconds = dict[str, float]


def measured(*command: str) -> Seconds:
    """What a command takes. Raises when it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stdout[-500:] + done.stderr[-2000:]
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {said}")
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": round(wall, 2), "cpu": round(cpu, 2)}


def change(old: str, new: str) -> None:
    """Of params.yaml: the first such word."""
    params = Path("params.yaml")
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, new, 1))


def measure(videos: int, *, dvc: bool, flow: bool) -> Iterator[tuple[str, Seconds]]:
    """(what, seconds) of a project of so many videos in the current folder. Makes it, where it is not there."""
    if not Path("dvc.lock").exists():
        began = time.process_time()
        make_project(Path.cwd(), videos)
        yield "stages", {"count": make_all()}
        yield "made in one go", {"cpu": round(time.process_time() - began, 2)}
    yield "lines of dvc.lock", {"count": Path("dvc.lock").read_text().count("\n")}
    yield "tav dvc status", measured(*TAV, "dvc", "status", "-q")
    yield "tav dvc repro, nothing to do", measured(*TAV, "dvc", "repro", "-q")
    yield "tav run, nothing to do", measured(*TAV, "run")
    yield "tav plan, the first of the day", measured(*TAV, "plan")
    yield "tav plan", measured(*TAV, "plan")
    yield "tav record, all new", measured(*TAV, "record")
    yield "tav record", measured(*TAV, "record")
    if dvc:
        yield "dvc status", measured(*DVC, "status", "-q")
        yield "dvc repro, nothing to do", measured(*DVC, "repro", "-q")
    change("a dog of the kind 0", "a fox of the kind 0")
    yield "tav dvc repro, one changed edit", measured(*TAV, "dvc", "repro", "-q")
    if dvc:
        change("a fox of the kind 0", "a cow of the kind 0")
        yield "dvc repro, one changed edit", measured(*DVC, "repro", "-q")
    if flow:
        change("a dog of the kind 1", "a fox of the kind 1")
        yield "tav run, one changed edit", measured(*TAV, "run")
        change("max_new_tokens: 30", "max_new_tokens: 31")
        yield f"tav run, {videos} captions and the report", measured(*TAV, "run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="+", default=[3, 42, 86])
    parser.add_argument("--dvc", action="store_true", help="also DVC's own commands")
    parser.add_argument("--flow", action="store_true", help="also through Prefect")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="work in FOLDER/VIDEOS, leave it, take up what is there"
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, dict[str, Seconds]] = {}
    os.environ["TAV_RESIDENT"] = "off"
    for videos in given.videos:
        with contextlib.ExitStack() as stack:
            root = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder = (root / str(videos)).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(contextlib.chdir(folder))
            found[str(videos)] = {}
            for what, seconds in measure(videos, dvc=given.dvc, flow=given.flow):
                cells = " | ".join(f"{name} {value:g}" for name, value in seconds.items())
                print(f"| {videos} | {what} | {cells} |", flush=True)
                found[str(videos)][what] = seconds
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
