"""The flow that runs stages on this machine, and its task.

Prefect shows, logs and tries again. DVC decides what is stale, and each stage is a child: `flows.repro STAGE`.
"""

import hashlib
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from prefect import Task, flow, get_client, get_run_logger, task
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Failed

from flows import dag, process
from flows.dag import Stage
from flows.dvc_host import hosted
from flows.ends import ENDS, UNCHANGED, Exit
from flows.remote.secret import hidden
from flows.schedule import Schedule, Share, this_machine
from flows.supervisor import GRACE
from tav.params import UserError, load

POLL = 5.0
"""Seconds between looks at whether the flow was cancelled."""


class StageFailed(Exception):
    """A stage did not end well."""

    def __init__(self, end: Exit) -> None:
        super().__init__(end.text)
        self.curable = end.curable


@flow(name="tav")
def pipeline(targets: list[str] | None = None, jobs: int | None = None) -> State[Any]:
    """Make the targets and what they need, or everything. Stages that don't wait for each other run side by side.

    targets: `tune@man-skiing`, `tune`. jobs: stages at once, at most.
    Ends as failed when a stage did: only what depends on it is left out. Raises tav.params.UserError before it starts.
    """
    load()
    stages = dag.read(targets or ())
    show_plan(stages)
    schedule = Schedule(stages, this_machine(jobs))
    stop = threading.Event()
    futures: dict[str, PrefectFuture[Any]] = {}
    try:
        with hosted():
            run_all(schedule, futures, stop, make, cancelled)
    finally:  # Ctrl-C, SIGTERM, a cancelled flow
        stop.set()
        wait(list(futures.values()), timeout=GRACE + 4)
    if not schedule.over:
        return Cancelled(message="cancelled: nothing of it runs any more")
    record()
    return Failed(message=schedule.summary()) if schedule.failed else Completed(message=schedule.summary())


def run_all(
    schedule: Schedule,
    futures: dict[str, PrefectFuture[Any]],
    stop: threading.Event,
    making: Task[[Stage, Share, threading.Event], State[Any]],
    is_over: Callable[[], bool],
) -> None:
    """Run the stages to the end of the schedule, or until the flow is cancelled. making: makes one stage."""
    ended: SimpleQueue[str] = SimpleQueue()

    def submit(stage: Stage, share: Share) -> None:
        named = making.with_options(name=stage.name, task_run_name=stage.name, retries=stage.meta.retries)
        before = [futures[name] for name in stage.upstream if name in futures]
        futures[stage.name] = named.submit(stage, share, stop, wait_for=before, return_state=False)

    while not schedule.over:
        for stage in schedule.leave_out():
            submit(stage, Share(0, None))  # Prefect shows it as not ready and does not run it
        for stage, share in schedule.start():
            submit(stage, share)
            futures[stage.name].add_done_callback(partial(lambda name, _: ended.put(name), stage.name))
        with suppress(Empty):
            name = ended.get(timeout=POLL)
            futures[name].wait()  # else .state asks the server, which may not have heard yet
            state = futures[name].state
            why_not = "" if state.is_completed() else state.message or str(state.name)
            schedule.ended(name, why_not, changed=state.message != ENDS[UNCHANGED].text)
        if is_over():
            return


def reach_server() -> None:
    """Find Prefect's server, or start a temporary one that Ctrl-C does not reach: it has to hear how the flow ended.

    Raises UserError where there is none.
    """
    problem: list[Exception | None] = []

    def reach() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # of this thread, and of what it starts
        try:
            with get_client(sync_client=True) as client:
                problem.append(client.api_healthcheck())
        except Exception as error:
            problem.append(error)

    thread = threading.Thread(target=reach, daemon=True)
    thread.start()
    thread.join()
    if problem[0] is not None:
        where = PREFECT_API_URL.value() or "a temporary one"
        raise UserError(
            f"Prefect's server ({where}) does not answer ({problem[0]}): start it, or unset PREFECT_API_URL"
        )


def may_try_again(task: Any, task_run: Any, state: State[Any]) -> bool:
    return isinstance(state.data, StageFailed) and state.data.curable


@task(cache_policy=NO_CACHE, persist_result=False, retry_delay_seconds=2, retry_condition_fn=may_try_again)
def make(stage: Stage, share: Share, stop: threading.Event) -> State[Any]:
    """Have DVC make one stage, in a child process. The state says what came of it: "ran", "did not change"."""
    return state_of(run_child(process.repro(stage.name), stage, share, stop))


def run_child(command: Sequence[str], stage: Stage, share: Share, stop: threading.Event) -> Exit:
    """Run what makes a stage. Its lines go to the log, its progress to Prefect's page."""
    logger = get_run_logger()
    logger.info("%s: %s", stage.name, stage.changed or "something before it was made again; DVC decides")
    show = _progress(stage.name)

    def on_line(line: str) -> None:
        if line.strip():
            logger.info(hidden(line))
            show(line)

    env = process.environment(share.threads, share.gpu, share.place)
    end = process.run(command, env, on_line, stage.meta.timeout, stop)
    return end._replace(text=hidden(end.text))


def state_of(end: Exit) -> State[Any]:
    """How a stage ended, as Prefect says it."""
    if not end.ok:
        return Failed(message=end.text, data=StageFailed(end))  # not raised: a traceback of this file helps nobody
    return Completed(message=end.text)


def show_plan(stages: list[Stage]) -> None:
    """Say what is up to date and what is not, in the log and as a table."""
    needs = dag.needs(stages)
    counts = ", ".join(f"{list(needs.values()).count(need)} {need}" for need in ("up to date", "stale", "maybe"))
    get_run_logger().info("%d stages: %s", len(stages), counts)
    rows = [{"stage": stage.name, "is": needs[stage.name], "changed": stage.changed} for stage in stages]
    create_table_artifact(rows, key="plan", description="What DVC found before the first stage ran")


def _progress(name: str) -> Callable[[str], None]:
    """Shows `tune@man-skiing 37/150, 12 s left` as a progress bar on Prefect's page."""
    bar: list[Any] = []
    key = artifact_key(name)

    def show(line: str) -> None:
        match = re.match(rf"{re.escape(name)} (\d+)/([1-9]\d*)\b", line)
        if not match:
            return
        percent = min(100.0, 100 * int(match[1]) / int(match[2]))
        with suppress(Exception):  # the page may be away: no reason to lose a stage
            if bar:
                update_progress_artifact(bar[0], percent, description=line)
            else:
                bar.append(create_progress_artifact(percent, key=key, description=line))

    return show


def artifact_key(name: str) -> str:
    """Prefect takes a to z, digits and dashes. A name with others has its hash, so that no two have one key."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    lossless = plain == name.replace("@", "-")
    return plain if lossless else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".strip("-")


def cancelled() -> bool:
    """Whether someone cancelled this flow run on Prefect's page."""
    with suppress(Exception), get_client(sync_client=True) as client:  # a server that is away cancels nothing
        state = client.read_flow_run(flow_run.id).state
        return state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED)
    return False


def record() -> None:
    """Make MLflow say what dvc.lock says. The stages are made all the same when that fails."""
    logger = get_run_logger()
    end = process.run([sys.executable, "-m", "tav", "record"], process.environment(1), logger.info, timeout=600)
    if not end.ok:
        logger.warning("tav record %s. Run `tav record` when the store is there", end.text)
