"""The flow that a worker runs: one part of a run. It starts in the machine's clone, and leaves it as it was."""

import contextvars
import json
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from prefect import Task, flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows import dag, process
from flows.dag import Stage
from flows.dvc_host import hosted
from flows.local import may_try_again, run_all, run_child, state_of
from flows.remote import checkpoints, lockfile
from flows.remote.published import CHECKPOINTS, LOCK, Published, TakenOver
from flows.remote.secret import hidden
from flows.remote.workspace import within, worktree
from flows.schedule import Schedule, Share, this_machine
from flows.supervisor import GRACE
from tav.complaints import one_line
from tav.params import UserError

FLOW = "tav-video"
MINUTES = "TAV_CHECKPOINT_MINUTES"
"""Between two looks for new checkpoints, in a worker's environment. 10 without it."""
MACHINE = "tav.machine"
"""The label of a flow run that says where it runs."""


@flow(name=FLOW, flow_run_name="{part}")
def video(rev: str, part: str, stages: list[str]) -> State[Any]:
    """Make stages of the snapshot refs/tav/<rev> in a worktree, and publish each as it ends.

    What another worker has published of this part is not made again.
    """
    try:
        return _run(rev, part, stages)
    except UserError as error:
        return Failed(message=f"error: {one_line(hidden(str(error)))}")  # not raised: a traceback helps nobody


def _run(rev: str, part: str, stages: list[str]) -> State[Any]:
    attempt = _Attempt()
    os.environ.setdefault("TAV_TRACKING", "on" if "MLFLOW_TRACKING_URI" in os.environ else "off")  # a store of all
    clone = Path.cwd()
    with worktree(clone, rev, part) as project, within(project), hosted():
        keeper = Keeper(Published(clone, rev, part), rev, stages)
        keeper.take_over()
        schedule = Schedule(dag.listed(stages, changed="asked for"), this_machine())
        stop = threading.Event()
        futures: dict[str, PrefectFuture[Any]] = {}
        try:
            run_all(
                schedule, futures, stop, _making(keeper), lambda: keeper.lost.is_set() or attempt.standing() != "on"
            )
        finally:  # SIGTERM, a cancelled flow
            stop.set()
            wait(list(futures.values()), timeout=GRACE + 4)
        if keeper.lost.is_set() or attempt.standing() == "lost":
            os._exit(0)  # another worker has this run now: what we would say of it is not true
    if not schedule.over:
        return Cancelled(message="cancelled: nothing of it runs any more")
    return Failed(message=schedule.summary()) if schedule.failed else Completed(message=schedule.summary())


class _Attempt:
    """This try at the flow run. Another may have begun: a machine that is not heard of is given up."""

    def __init__(self) -> None:
        with get_client(sync_client=True) as client:
            self.number = client.read_flow_run(flow_run.id).run_count
            client.update_flow_run_labels(flow_run.id, {MACHINE: _machine()})

    def standing(self) -> Literal["on", "cancelled", "lost"]:
        """A server that is away says nothing: then it goes on."""
        with suppress(Exception), get_client(sync_client=True) as client:
            run = client.read_flow_run(flow_run.id)
            kind = run.state.type if run.state else None
            if kind in (StateType.CANCELLING, StateType.CANCELLED):
                return "cancelled"
            if run.run_count > self.number or kind in (StateType.SCHEDULED, StateType.PENDING):
                return "lost"
        return "on"


def _machine() -> str:
    """As in "node-3, GPU-0c1d": where this runs."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"{socket.gethostname()}, {gpu}" if gpu else socket.gethostname()


class Keeper:
    """Publishes what is made as it is made, and tunings' checkpoints every few minutes. For many threads."""

    def __init__(self, published: Published, rev: str, stages: list[str]) -> None:
        self.published, self.rev, self.stages = published, rev, stages
        self.lost = threading.Event()
        """Another worker has gone on with this part."""
        self._lock = threading.Lock()

    def take_over(self) -> None:
        """Bring what was published of this part into the worktree."""
        entries = lockfile.entries_of(self.published.lock())
        if entries:
            here = lockfile.read(Path(LOCK))
            lockfile.write(Path(LOCK), lockfile.merged(here, entries, lockfile.names_in(here), self.stages))
            get_run_logger().info("made before: %s", ", ".join(entries))
        for key, kept in self.published.checkpoints().items():
            self._child("load", key, json.dumps(kept))

    def made(self, stage: str) -> None:
        """A stage has ended: publish its entry of dvc.lock."""
        with self._lock:
            entry = lockfile.entries_of(lockfile.read(Path(LOCK)))[stage]
            self._publish({LOCK: lockfile.merged(self.published.lock(), {stage: entry}, [], self.stages)})

    def keep(self, key: str) -> None:
        """Bring the newest checkpoints of a tuning to the remote, if there are any."""
        with self._lock:
            kept = self.published.checkpoints()
            if checkpoints.names(key) - kept.get(key, {}).keys():  # what lies there was not sent yet
                sent = self._child("save", key, json.dumps(kept.get(key, {})))
                if sent:
                    self._publish({CHECKPOINTS: json.dumps({**kept, key: json.loads(sent)})})

    def forget(self, key: str) -> None:
        """The stage has ended: its checkpoints are of no more use."""
        with self._lock:
            kept = self.published.checkpoints()
            if kept.pop(key, None) is not None:
                self._publish({CHECKPOINTS: json.dumps(kept)})
                self._child("drop", key, "{}")

    def _publish(self, files: dict[str, str]) -> None:
        try:
            self.published.write(files)
        except TakenOver:
            self.lost.set()
            raise

    def _child(self, what: str, key: str, given: str) -> str:
        """The last line of flows.remote.checkpoints; "" when it failed: a stage is not lost for that."""
        lines: list[str] = []
        command = [sys.executable, "-P", "-m", "flows.remote.checkpoints", what, key, self.rev, given]
        end = process.run(command, process.environment(1), lines.append, timeout=3600)
        if not end.ok:
            get_run_logger().warning("%s", end.text)
        return lines[-1] if end.ok and lines else ""


def _making(keeper: Keeper) -> Task[[Stage, Share, threading.Event], State[Any]]:
    """The task that makes a stage and publishes it."""

    @task(cache_policy=NO_CACHE, persist_result=False, retry_delay_seconds=2, retry_condition_fn=may_try_again)
    def make(stage: Stage, share: Share, stop: threading.Event) -> State[Any]:
        key = stage.name.partition("@")[2]
        command = process.repro(stage.name, by="flows.remote.repro")
        ended = threading.Event()
        within_run = contextvars.copy_context().run  # for its log
        watch = threading.Thread(target=within_run, args=(_keep_checkpoints, keeper, key, ended), daemon=True)
        watch.start()
        try:
            end = run_child(command, stage, share, stop)
        finally:
            ended.set()
        watch.join()
        if end.ok:
            keeper.made(stage.name)
            keeper.forget(key)
        return state_of(end)

    return make


def _keep_checkpoints(keeper: Keeper, key: str, ended: threading.Event) -> None:
    every = 60 * float(os.environ.get(MINUTES, "10"))
    while key and not ended.wait(every):
        with suppress(Exception):  # the next look may end better
            keeper.keep(key)
