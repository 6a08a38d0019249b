"""Prefect's server: the pools, deployments and automations that workers need, made where they are missing.

`tav worker` is `start_workers`.
"""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.utilities.callables import parameter_schema

from flows.remote.parts import Pool
from flows.remote.secret import hidden
from flows.remote.worker import FLOW, MINUTES, video
from flows.schedule import this_machine
from tav.params import UserError

DRIVER = "tav-workers"
"""The flow that hands out the parts."""
POOLS: tuple[Pool, ...] = ("gpu", "cpu")
HOME = "TAV_HOME"
"""In a worker's environment: the machine's clone."""
HEARTBEAT = 30
"""Seconds between two heartbeats of a flow run; Prefect takes no fewer."""
SILENCE = "TAV_SILENCE"
"""In the environment of who sets up: seconds without a heartbeat until a machine is given up."""
ENTRYPOINT = "flows.remote.worker.video"
ENV = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT), "DO_NOT_TRACK": "1", "OMP_WAIT_POLICY": "PASSIVE"}
ASKS = {"PREFECT_WORKER_QUERY_SECONDS": "3"}
"""In a worker's environment: between two looks for a part. Prefect's own 10 s are a stage's length."""
PULL = [{"prefect.deployments.steps.set_working_directory": {"directory": f"{{{{ ${HOME} }}}}"}}]


def pool_name(pool: Pool) -> str:
    """Of the work pool of processes: `tav-gpu`."""
    return f"tav-{pool}"


def check_address() -> None:
    """Raises UserError when there is no server."""
    address = PREFECT_API_URL.value()
    if not address:
        raise UserError(
            "workers need Prefect's server: `prefect server start`, then set PREFECT_API_URL=http://HOST:4200/api here "
            "and on each machine"
        )
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is not None:
        raise UserError(f"Prefect's server ({hidden(address)}) does not answer ({hidden(str(problem))}): start it")


def set_up() -> None:
    """Make what is missing on the server, and bring the rest up to date. As often as one likes."""
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name(FLOW)
        for pool in POOLS:
            _make_pool(client, pool_name(pool))
            client.create_deployment(
                flow,
                name=pool,
                description=f"The stages of one video, by the workers of the pool {pool_name(pool)}",
                entrypoint=ENTRYPOINT,
                work_pool_name=pool_name(pool),
                pull_steps=PULL,
                parameter_openapi_schema=parameter_schema(video).model_dump(),
                job_variables={"env": ENV},
            )
        for automation in automations(float(os.environ.get(SILENCE, 3 * HEARTBEAT))):
            _make_automation(client, automation)


def _make_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        from prefect.workers.process import ProcessWorker

        template = ProcessWorker.get_default_base_job_template()
        with suppress(ObjectAlreadyExists):  # two set up at once
            client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))


def _make_automation(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    there = client.read_automations_by_name(wanted.name)
    if not there:
        client.create_automation(wanted)
    elif _compared(there[0]) != _compared(wanted):
        client.update_automation(there[0].id, wanted)


def _compared(automation: Any) -> dict[str, Any]:
    fields: dict[str, Any] = automation.model_dump(mode="json", include={"trigger", "actions", "description"})
    fields["trigger"].pop("id", None)
    return fields


def automations(silence: float) -> list[AutomationCore]:
    """A machine whose part is not heard of for `silence` seconds is given up: the part waits for another worker.

    A driver that is not heard of has crashed: what its parts make stays, and the same command goes on from there.
    """
    again = ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message="its machine was not heard of: for another worker"
    )
    crashed = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="it was not heard of any more")
    return [
        AutomationCore(
            name="tav: a machine went away",
            description="Its part goes on with another worker, from the last stage or checkpoint that it published",
            trigger=_silence_of(FLOW, silence),
            actions=[again],
        ),
        AutomationCore(
            name="tav: a driver went away",
            description="Nobody gathers what its parts make, until the same command is given again",
            trigger=_silence_of(DRIVER, silence),
            actions=[crashed],
        ),
    ]


def _silence_of(flow: str, seconds: float) -> EventTrigger:
    ends = ("Completed", "Failed", "Crashed", "Cancelled", "Cancelling", "AwaitingRetry")
    return EventTrigger(
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in ends)},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": flow},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )


def online(pool: Pool) -> int:
    """How many workers of a pool the server hears of."""
    from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus

    with get_client(sync_client=True) as client:
        heard_of = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
        return len(client.read_workers_for_work_pool(pool_name(pool), worker_filter=heard_of))


def start_workers(pool: Pool, checkpoint_minutes: float) -> int:
    """Start a worker for each GPU of this machine, or one, and wait for them. Each runs one part at a time.

    Call it in the clone. Raises UserError.
    """
    home = Path.cwd()
    if not (home / "dvc.yaml").is_file() or not (home / ".git").exists():
        raise UserError(f"{home} is no clone of the project: `git clone` it, and call this there")
    check_address()
    set_up()
    gpus: list[str | None] = [*this_machine().free_gpus] if pool == "gpu" else []
    running = [_start(pool, gpu, home, checkpoint_minutes) for gpu in gpus or [None]]
    try:
        return max(worker.wait() for worker in running)
    except KeyboardInterrupt:
        for worker in running:
            worker.wait()
        return 130


def _start(pool: Pool, gpu: str | None, home: Path, minutes: float) -> "subprocess.Popen[bytes]":
    name = f"{socket.gethostname()}-{gpu or os.getpid()}"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool_name(pool), "--type", "process"]
    env = {**ASKS, **os.environ, **ENV, HOME: str(home), MINUTES: str(minutes)}
    env |= {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return subprocess.Popen([*command, "--limit", "1", "--name", name], env=env)
