"""The real flow on a real server."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from flow_project import left, locked, wait_for

KILLED_ONCE = """
for i in range(2): print(f"{name} {i}/2, 1 s left")
if name == "first@a" and not os.path.exists("tried"):
    pathlib.Path("tried").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def flow(*arguments: str, module: str = "flows", **env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **env},
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "run [OPTIONS] [TARGET]..."),
        (["--jobs", "0"], 2, "Invalid value for '--jobs'"),
        (["first", "last"], 0, "all 6 stages are up to date"),
    ],
)
def test_tav_run_is_the_same(done_project: Path, arguments: list[str], code: int, said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "tav", "run", *arguments], capture_output=True, text=True, timeout=100)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "arguments", "code", "said"),
    [
        ("flows", ["--help"], 0, "usage: python -m flows"),
        ("flows.pipeline", ["frist"], 1, "error: dvc.yaml has no stage 'frist'; did you mean 'first'?"),
        ("flows", ["--jobs", "0"], 2, "got '0', expected a whole number from 1 on"),
        ("flows.pipeline", [], 0, "all 6 stages are up to date"),
    ],
)
def test_what_needs_no_server(done_project: Path, module: str, arguments: list[str], code: int, said: str) -> None:
    process = flow(*arguments, module=module, PREFECT_API_URL="http://127.0.0.1:1/api")
    told, _ = process.communicate(timeout=100)
    assert process.returncode == code
    assert said in told
    assert "| prefect" not in told


def test_a_bad_params_file_is_one_line(done_project: Path) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace('"tune": {}', '"tune": {"stepps": 3}', 1))
    told, _ = flow().communicate(timeout=100)
    assert told.startswith("error: params.yaml: videos.a.tune.stepps")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"HOME": "/proc/nobody"}, "Prefect's folder ~/.prefect can't be written"),
        ({"PREFECT_HOME": "stage.py/below"}, "Prefect's folder stage.py/below can't be written"),
        ({"HOME": f"{__file__}/below"}, "DVC can't read the project"),
    ],
)
def test_a_home_that_cannot_be_written_is_one_line(fresh_project: Path, env: dict[str, str], said: str) -> None:
    told, _ = flow("first", **env).communicate(timeout=100)
    assert told.startswith(f"error: {said}")
    assert told.count("\n") == 1


def test_each_stage_has_a_key_of_its_own_on_prefects_page() -> None:
    from flows.local import artifact_key

    names = ["first@a-b", "first@A-b", "first@a_b", "first@蓝", "first@红", "蓝", "first"]
    keys = [artifact_key(name) for name in names]
    assert keys[0] == "first-a-b"
    assert len(set(keys)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key) for key in keys), keys


def tasks(flow_run: UUID) -> dict[str, tuple[str, int]]:
    """Of a flow run's tasks the name, the state and how often each was tried."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))
    return {run.name: (run.state_name, run.run_count) for run in runs}


def test_the_flow(fresh_project: Path, server: str) -> None:
    """A killed stage is tried again; one that said no is not, and only what needs it is left out."""
    from flows.local import pipeline

    Path("how/first.py").write_text(KILLED_ONCE)
    Path("how/second.py").write_text("if name == 'second@b': sys.exit('error: no b today')")
    state = pipeline(return_state=True)
    assert state.is_failed()
    assert state.message == "failed: second@b exited with 1: error: no b today. Left out, as they need it: last"
    ran = [line.split()[0] for line in Path("ran.txt").read_text().splitlines()]
    assert sorted(ran) == ["first@a", "first@a", "first@b", "second@a", "second@b"]
    assert_shown(state.state_details.flow_run_id)

    Path("how/second.py").write_text("# well")
    Path("tav.py").write_text("raise SystemExit('error: no store')")  # `python -m tav record` fails, the flow does not
    Path("ran.txt").unlink()
    state = pipeline(["second"], return_state=True)
    assert state.is_completed()
    assert state.message in ("made 2 stages: second@a, second@b", "made 2 stages: second@b, second@a")
    assert {line.split()[0] for line in Path("ran.txt").read_text().splitlines()} == {"second@a", "second@b"}
    assert_logged(state.state_details.flow_run_id, "tav record exited with 1: error: no store")


def assert_shown(flow_run: UUID | None) -> None:
    """What Prefect's page has of the flow run: tasks, their logs, the plan and how far the stages were."""
    from prefect import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    assert flow_run
    wait_for(lambda: len(tasks(flow_run)) == 5 and tasks(flow_run)["last"][0] == "NotReady")
    shown = tasks(flow_run)
    assert shown["first@a"] == ("Completed", 2)
    assert shown["first@b"] == ("Completed", 1)
    assert shown["second@a"] == ("Completed", 1)
    assert shown["second@b"] == ("Failed", 1)
    assert_logged(flow_run, "error: no b today")
    with get_client(sync_client=True) as client:
        by_flow = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
        artifacts = {artifact.key: artifact.data for artifact in client.read_artifacts(artifact_filter=by_flow)}
    assert artifacts["first-b"] == 50.0
    assert '"stage": "first@a"' in artifacts["plan"]


def assert_logged(flow_run: UUID | None, words: str) -> None:
    from prefect import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    assert flow_run
    of_this = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run]))
    with get_client(sync_client=True) as client:
        wait_for(lambda: any(words in log.message for log in client.read_logs(of_this)))


@pytest.mark.parametrize("how", ["Ctrl-C", "cancelled"])
def test_a_stopped_flow_leaves_nothing(fresh_project: Path, server: str, how: str) -> None:
    from prefect import get_client
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateName,
    )
    from prefect.states import Cancelling

    Path("how/first.py").write_text("pathlib.Path(f'{name}.here').touch()\ntime.sleep(300)")
    with flow("first", PREFECT_API_URL=server) as process, get_client(sync_client=True) as client:
        wait_for(lambda: Path("first@a.here").exists() and Path("first@b.here").exists(), 120)
        running = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Running"])))
        here = FlowFilter(name=FlowFilterName(any_=["tav"]))
        (run,) = client.read_flow_runs(flow_filter=here, flow_run_filter=running)
        if how == "Ctrl-C":
            process.send_signal(signal.SIGINT)
        else:
            client.set_flow_run_state(run.id, Cancelling())
        wait_for(lambda: "sh" not in left(fresh_project), 20)
        told = process.communicate(timeout=60)[0]
        state = client.read_flow_run(run.id).state
    assert process.returncode == (130 if how == "Ctrl-C" else 1), told
    assert state.is_crashed() if how == "Ctrl-C" else state.is_cancelled()
    assert "nothing of it runs any more" in told
    assert not left(fresh_project)
    assert not locked()
