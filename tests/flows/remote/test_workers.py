"""Two workers in two clones, a real Prefect server, a real S3 API: all on this machine."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from flow_project import sh, wait_for

from flows.remote import snapshot
from flows.remote.published import CHECKPOINTS, read

SECRET = "not-for-any-log"
KEPT = """
print("my key is", os.environ.get("AWS_SECRET_ACCESS_KEY"))
kept = pathlib.Path("checkpoints/b/step-000001.safetensors")
if name == "first@b" and not kept.exists():
    kept.parent.mkdir(parents=True)
    kept.write_text("half of it")
    for i in range(1, 600): print(f"{name} {i}/600", flush=True); time.sleep(1)
"""
"""What a tuning does: it keeps a checkpoint, and goes on from it. Without one it takes for ever."""
WAITING = """
while name == "second@a" and not pathlib.Path({!r}).exists(): time.sleep(0.2)
"""
FAILING = """
if name == "second@a": sys.exit("error: no a today")
pathlib.Path("b.here").touch()
time.sleep(600)
"""


class Machines:
    """A driver and two workers, each in a clone of one repository."""

    def __init__(self, root: Path, env: dict[str, str], s3: str) -> None:
        self.root, self.env, self.s3, self.driver = root, env, s3, root / "driver"
        self.workers = {name: self._start(name) for name in ("w1", "w2")}

    def _start(self, name: str) -> psutil.Process:
        command = [sys.executable, "-m", "tav", "worker", "--checkpoint-minutes", "0.03"]
        log = (self.root / f"{name}.log").open("w")
        started = subprocess.Popen(
            command, cwd=self.root / name, env=self.env, stdout=log, stderr=log, start_new_session=True
        )
        return psutil.Process(started.pid)

    def where(self, pattern: str) -> str:
        """The machine in whose worktrees there is such a file; "" where in none."""
        found = next(self.root.glob(f"w*/.dvc/tmp/tav/{pattern}"), None)
        return found.relative_to(self.root).parts[0] if found else ""

    def switch_off(self, name: str) -> None:
        """As when its cable is pulled: nothing there ends in order."""
        worker = self.workers.pop(name)
        for process in [*worker.children(recursive=True), worker]:
            process.kill()

    def run(self, *targets: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tav", "run", "--workers", *targets]
        return subprocess.Popen(
            command, cwd=self.driver, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.root.glob("w*.log")))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server, with the bucket `tav`."""
    import boto3
    from moto.server import ThreadedMotoServer

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "me")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket="tav")
        yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(scope="module")
def machines(fresh: Path, server: str, s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    root = tmp_path_factory.mktemp("machines")
    shutil.copytree(fresh, root / "driver")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "driver")
        with Path(".gitignore").open("a") as ignored:  # after what `dvc add` wrote
            ignored.write("/made\n/ran.txt\n/checkpoints\n")
        sh("dvc", "remote", "add", "-q", "-d", "store", "s3://tav/store")
        sh("dvc", "remote", "modify", "-q", "store", "endpointurl", s3)
        sh("git", "init", "-q", "--bare", "../hub.git")
        sh("git", "add", "--all")
        sh("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")
        sh("git", "remote", "add", "origin", str(root / "hub.git"))
        sh("git", "push", "-q", "origin", "HEAD:main")
        for name in ("w1", "w2"):
            sh("git", "clone", "-q", "-b", "main", "../hub.git", f"../{name}")
    env = {**os.environ, "PREFECT_API_URL": server, "TAV_SILENCE": "45", "DVC_NO_ANALYTICS": "1"}
    machines = Machines(root, env, s3)
    yield machines
    for name in list(machines.workers):
        machines.switch_off(name)


def runs() -> dict[str, list[Any]]:
    """The flow runs of the two flows, by the flow's name."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    with get_client(sync_client=True) as client:
        return {
            name: client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[name])))
            for name in ("tav-workers", "tav-video")
        }


def artifacts(key: str) -> list[dict[str, Any]]:
    """The rows of the newest table of this name."""
    from prefect import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC
        )
    rows: list[dict[str, Any]] = json.loads(found[0].data) if found else []
    return rows


def how_often(message: str) -> dict[str, int]:
    """Stage -> how often a worker said this of it in the end."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    videos = FlowFilter(name=FlowFilterName(any_=["tav-video"]))
    with get_client(sync_client=True) as client:
        said = [
            run.name for run in client.read_task_runs(flow_filter=videos) if run.state and run.state.message == message
        ]
    return {name: said.count(name) for name in set(said)}


def waits(stage: str) -> bool:
    """Whether a stage runs, as the table of the run has it."""
    return any(stage in row["stage"] for row in artifacts("videos"))


def has_checkpoint(driver: Path) -> bool:
    return any(
        name.endswith("-b") and json.loads(read(driver, name, commit).get(CHECKPOINTS, "{}"))
        for name, commit in snapshot.refs(driver).items()
    )


@pytest.mark.timeout(1200)
def test_cancel_stops_all_machines(machines: Machines) -> None:
    """And what was made before it, or failed, is told."""
    from prefect import get_client
    from prefect.states import Cancelling

    (machines.driver / "how/second.py").write_text(FAILING)
    with machines.run() as command, get_client(sync_client=True) as client:
        wait_for(lambda: command.poll() is not None or machines.where("*-b/b.here"), 500)
        assert command.poll() is None, command.communicate()[0]
        wait_for(lambda: [row for row in artifacts("videos") if "no a today" in row["said"]], 120)
        (run,) = [run for run in runs()["tav-workers"] if run.state.is_running()]
        client.set_flow_run_state(run.id, Cancelling())
        wait_for(lambda: not machines.where("*-b/b.here"), 20)
        told = command.communicate(timeout=120)[0]
    assert command.returncode == 1
    assert "cancelled: nothing of it runs any more" in told
    assert sorted(run.state.name for run in runs()["tav-video"]) == ["Cancelled", "Failed"]
    assert_nothing_is_left(machines)


@pytest.mark.timeout(1200)
def test_a_machine_and_a_driver_that_go_away_change_nothing(machines: Machines, tmp_path: Path) -> None:
    """dvc.lock and all files are those of one machine. What was made, with a driver or without, is not made again."""
    driver, alone, before = machines.driver, tmp_path / "alone", Counter(how_often("ran"))
    (driver / "how/first.py").write_text(KEPT)
    (driver / "how/second.py").write_text(WAITING.format(str(alone)))
    with machines.run() as command:
        wait_for(lambda: command.poll() is not None or (has_checkpoint(driver) and waits("second@a")), 500)
        assert command.poll() is None, command.communicate()[0]
        (row,) = [row for row in artifacts("videos") if row["video"] == "b"]
        assert (row["is"], row["stage"]) == ("running", "first@b")
        command.kill()
    machines.switch_off(machines.where("*-b/checkpoints/b"))
    alone.touch()
    wait_for(lambda: Counter(how_often("ran"))["second@a"] > before["second@a"], 120)
    with machines.run() as command:
        told = command.communicate(timeout=600)[0]
    assert command.returncode == 0, told + machines.log()
    assert "on workers and 1 here" in told
    ran = Counter(how_often("ran")) - before
    assert ran == {"first@a": 1, "second@a": 1, "first@b": 1, "second@b": 1}

    here = tmp_path / "here"
    shutil.copytree(driver, here, ignore=shutil.ignore_patterns("made", "dvc.lock", "ran.txt", "cache"))
    (here / "checkpoints/b").mkdir(parents=True)
    (here / "checkpoints/b/step-000001.safetensors").write_text("half of it")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=here, env=machines.env, check=True)
    assert (driver / "dvc.lock").read_bytes() == (here / "dvc.lock").read_bytes()
    made = {file.name: file.read_bytes() for file in (driver / "made").iterdir()}
    assert made == {file.name: file.read_bytes() for file in (here / "made").iterdir()}
    assert_nothing_is_left(machines)
    assert_no_secret()


def assert_nothing_is_left(machines: Machines) -> None:
    """No ref, no checkpoint on the remote, no worktree on a machine that is there, nothing committed."""
    import boto3

    kept = boto3.client("s3", endpoint_url=machines.s3).list_objects_v2(Bucket="tav", Prefix="store/tav/")
    assert kept["KeyCount"] == 0
    assert snapshot.refs(machines.driver) == {}
    for name in machines.workers:
        assert not list((machines.root / name / ".dvc/tmp/tav").glob("*"))
        assert sh("git", "-C", str(machines.root / name), "status", "--short") == ""


def assert_no_secret() -> None:
    """Not in what Prefect's server keeps: parameters, logs, tables."""
    from prefect import get_client

    with get_client(sync_client=True) as client:
        logs = client.read_logs()
        kept = [*logs, *client.read_artifacts(), *client.read_flow_runs(), *client.read_deployments()]
    assert any("my key is ***" in log.message for log in logs)
    assert not [one for one in kept if SECRET in one.model_dump_json()]
