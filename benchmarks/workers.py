"""The demo on two workers, one of which is killed in the middle, compared with one machine: dvc.lock and every file.

    python benchmarks/workers.py [--steps 100] [--videos 3] [--remote s3 | folder] [--no-kill] [--keep FOLDER]

Starts Prefect's server, an S3 server (moto's) and two workers in two clones, all on this machine; the demo is made once
by `dvc repro` and once by `tav run --workers`. Prints a Markdown table. What a clock or a memory meter said (seconds,
peak memory) is left out of the comparison, with the hashes of the files that hold it.
"""

import argparse
import csv
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

VIDEOS = ("red-car", "yellow-cat", "blue-fish")
METERED = {"seconds", "peak_memory_gb"}
"""Keys and columns that no two runs have alike."""
CLOCKED = re.compile(r"(loss\.csv|tuning\.json|inversion\.json|edit\.json)$|^artifacts/(report|tune|invert|edit)$")
"""Files that hold such values, and folders that hold such files."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="of each tuning. Default: as params.yaml has it")
    parser.add_argument("--videos", type=int, default=3, choices=[1, 2, 3], help="of the demo's")
    parser.add_argument("--remote", choices=["s3", "folder"], default="s3")
    parser.add_argument("--no-kill", dest="kill", action="store_false", help="let both workers live")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and leave it")
    given = parser.parse_args()
    with ExitStack() as stack:
        root = (given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))).absolute()
        root.mkdir(parents=True, exist_ok=True)
        env = {
            **os.environ,
            "DVC_NO_ANALYTICS": "1",
            "OMP_NUM_THREADS": "1",
            "PREFECT_HOME": str(root / "prefect"),
            "TAV_TRACKING": "off",
        }
        env |= {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret-of-moto", "AWS_DEFAULT_REGION": "us-east-1"}
        env |= {f"GIT_{who}_{what}": "tav@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        make_clones(root, env, remote_address(given.remote, root, stack), given)
        one = timed(["dvc", "repro", "--quiet"], root / "one", env)
        env["PREFECT_API_URL"] = server(root, env, stack)
        workers = {
            name: start(["tav", "worker", "--checkpoint-minutes", "0.1"], root / name, env, stack)
            for name in ("w1", "w2")
        }
        began = time.monotonic()
        driver = subprocess.Popen([sys.executable, "-m", "tav", "run", "--workers"], cwd=root / "driver", env=env)
        killed = kill_one(root, workers, driver) if given.kill else "none"
        code = driver.wait()
        many = time.monotonic() - began
    report(root, killed, code, one, many)
    sys.exit(code)


def make_clones(root: Path, env: dict[str, str], remote: list[list[str]], given: argparse.Namespace) -> None:
    """A demo project, its hub, a clone to work in alone (one), one to drive from, two for workers."""
    first = root / "first"
    sh([sys.executable, "-m", "tav", "init", str(first), "--demo"], root, env)
    for video in VIDEOS[given.videos :]:
        sh([sys.executable, "-m", "tav", "remove", video], first, env)
    if given.steps:
        text = (first / "params.yaml").read_text()
        text = re.sub(r"(?m)^(tune:\n  steps: )\d+", rf"\g<1>{given.steps}", text)
        every = f"checkpoint_every: {max(1, given.steps // 4)}"
        (first / "params.yaml").write_text(re.sub(r"checkpoint_every: \d+", every, text))
    for command in remote:
        sh([sys.executable, "-m", "dvc", *command], first, env)
    for words in (["add", "--all"], ["commit", "--quiet", "--message", "The demo"]):
        sh(["git", *words], first, env)
    sh(["git", "clone", "--quiet", "--bare", str(first), "hub.git"], root, env)
    for name in ("one", "driver", "w1", "w2"):
        sh(["git", "clone", "--quiet", "hub.git", name], root, env)


def remote_address(kind: str, root: Path, stack: ExitStack) -> list[list[str]]:
    """The commands that name DVC's remote, which is there."""
    if kind == "folder":
        return [["remote", "add", "--default", "store", str(root / "store")]]
    import boto3
    from moto.server import ThreadedMotoServer

    port = free_port()
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    s3.start()
    stack.callback(s3.stop)
    address = f"http://127.0.0.1:{port}"
    keys = {"aws_access_key_id": "me", "aws_secret_access_key": "secret-of-moto", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **keys).create_bucket(Bucket="tav")
    return [
        ["remote", "add", "--default", "store", "s3://tav/store"],
        ["remote", "modify", "store", "endpointurl", address],
    ]


def server(root: Path, env: dict[str, str], stack: ExitStack) -> str:
    """The address of a Prefect server that answers."""
    port = free_port()
    start(["prefect", "server", "start", "--port", str(port)], root, env, stack)
    address = f"http://127.0.0.1:{port}/api"
    for _ in range(600):
        with suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5):
            return address
        time.sleep(1)
    raise SystemExit("error: Prefect's server did not start")


def kill_one(root: Path, workers: dict[str, psutil.Process], driver: "subprocess.Popen[bytes]") -> str:
    """Wait for the first tuning on a worker, then kill that machine: the worker and all that it runs."""
    while driver.poll() is None:
        time.sleep(1)
        for found in root.glob("w*/.dvc/tmp/tav/*/checkpoints/*/step-*.safetensors"):
            name = found.relative_to(root).parts[0]
            for process in [*workers[name].children(recursive=True), workers[name]]:
                process.kill()
            return f"{name}, in tune@{found.parent.name} after {found.stem}"
    return "none"


def report(root: Path, killed: str, code: int, one: float, many: float) -> None:
    """The table, and what differs."""
    here, there = root / "one", root / "driver"
    locks = [entries(folder / "dvc.lock") for folder in (here, there)]
    files = [sorted(p.relative_to(f) for p in (f / "artifacts").rglob("*") if p.is_file()) for f in (here, there)]
    shown = [p for p in files[0] if not p.parts[1].startswith(".") and p.parts[1] != "removed"]
    same = [path for path in shown if (there / path).is_file() and content(here / path) == content(there / path)]
    print("| | one machine | two workers |\n| --- | --- | --- |")
    print(f"| killed | | {killed} |\n| exit code | 0 | {code} |\n| seconds | {one:.0f} | {many:.0f} |")
    equal = sum(locks[0][name] == locks[1].get(name) for name in locks[0])
    equal = equal if list(locks[0]) == list(locks[1]) else 0
    print(f"| stages in dvc.lock, in the same order | {len(locks[0])} | {equal} |")
    print(f"| files, equal | {len(shown)} | {len(same)} |")
    for path in sorted({*shown} - {*same}):
        print(f"differs: {path}")


def entries(lock: Path) -> dict[str, Any]:
    """dvc.lock, without the hashes of what holds a clock's word."""
    stages: dict[str, Any] = YAML(typ="safe").load(lock)["stages"]
    for stage in stages.values():
        for item in (*stage.get("deps", []), *stage.get("outs", [])):
            if CLOCKED.search(item["path"]):
                for key in ("md5", "size"):
                    item.pop(key, None)
    return stages


def content(path: Path) -> Any:
    """What a file says, without what a clock or a memory meter said."""
    if path.suffix == ".json":
        return without_meters(json.loads(path.read_text()))
    if path.name == "loss.csv":
        return [without_meters(row) for row in csv.DictReader(path.read_text().splitlines())]
    if path.suffix == ".html":
        return re.sub(r"\d+ s\b|[\d.]+ GB", "", path.read_text())
    return path.read_bytes()


def without_meters(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: without_meters(value) for key, value in data.items() if key not in METERED}
    return [without_meters(value) for value in data] if isinstance(data, list) else data


def start(command: list[str], folder: Path, env: dict[str, str], stack: ExitStack) -> psutil.Process:
    """A command that runs until the end, its output in a file beside the folder."""
    log = stack.enter_context(folder.with_suffix(".log").open("w"))
    begun = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=env, stdout=log, stderr=log)
    process = psutil.Process(begun.pid)
    stack.callback(stop, process)
    return process


def stop(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        for one in [*process.children(recursive=True), process]:
            one.kill()


def timed(command: list[str], folder: Path, env: dict[str, str]) -> float:
    began = time.monotonic()
    sh([sys.executable, "-m", *command], folder, env)
    return time.monotonic() - began


def sh(command: list[str], folder: Path, env: dict[str, str]) -> None:
    subprocess.run(command, cwd=folder, env=env, check=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


if __name__ == "__main__":
    main()
