"""What came of the parts: their entries into dvc.lock, their outputs from the remote, their refs away in the end."""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import get_client, get_run_logger
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Scheduled

from flows import process
from flows.remote import lockfile, published, snapshot
from flows.remote.handing_out import Asked, runs_of, store_child
from flows.remote.page import in_words
from tav.params import UserError

POLL = 5.0
"""Seconds between two looks at the parts."""
TRIES = 3
"""How often a part whose process died is given to a worker. (A machine that goes away is the server's to notice.)"""
STOPPING = 60.0
"""Seconds that cancelled parts have to end."""
KEPT = timedelta(days=1)
"""How long the refs of a run stay whose driver never came back."""


class Gathering:
    """The parts of a run, as their driver sees them."""

    def __init__(self, project: Path, asked: Asked) -> None:
        self.project, self.asked = project, asked
        self.runs = dict(asked.runs)
        """Part -> its flow run, as last seen."""
        self._taken: dict[str, str] = {}
        """Ref -> its commit whose entries we have."""
        self._made: set[str] = set()
        """The stages whose entries we have."""
        self._stop = threading.Event()
        """Set: a pull is to end."""
        self._lock = threading.Lock()

    def wait(self, show: Callable[[dict[str, FlowRun]], None], cancelled: Callable[[], bool]) -> bool:
        """Wait for all parts, and take in what each has made as it comes. False: the run was cancelled."""
        within_run = copy_context().run  # for its log
        with ThreadPoolExecutor(1) as aside:  # a pull may take long, and a cancelled run is to end at once
            taking: Future[None] | None = None
            try:
                while not self._over():
                    self._look()
                    if taking is None or taking.done():
                        self._tell(taking)
                        taking = aside.submit(within_run, self._take_in)
                    show(self.runs)
                    if cancelled():
                        self.cancel()
                        return False
                    if not self._over():
                        time.sleep(POLL)
            except BaseException:
                self._stop.set()
                raise
        self._take_in()
        show(self.runs)
        return True

    def _tell(self, taking: "Future[None] | None") -> None:
        """Git's or DVC's remote is away: the parts go on, and so do we."""
        problem = taking.exception() if taking else None
        if problem is not None and not isinstance(problem, UserError):
            raise problem
        if problem is not None:
            get_run_logger().warning("%s", problem)

    def failed(self) -> dict[str, str]:
        """Part -> why it did not end well."""
        ends = {name: run.state for name, run in self.runs.items()}
        return {n: s.message or str(s.name) for n, s in ends.items() if s and s.is_final() and not s.is_completed()}

    def unmade(self) -> set[str]:
        """The stages that nobody has made."""
        return {name for part in self.asked.parts.values() for name in part.stages if name not in self._made}

    def _over(self) -> bool:
        return all(run.state is not None and run.state.is_final() for run in self.runs.values())

    def _look(self) -> None:
        """Ask how the parts stand. A part whose process died has another try."""
        ids = FlowRunFilterId(any_=[run.id for run in self.runs.values()])
        with suppress(Exception), get_client(sync_client=True) as client:  # a server that is away ends nothing
            for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(id=ids)):
                if run.state and run.state.is_crashed() and run.run_count < TRIES:
                    get_run_logger().warning("%s: %s: once more", run.name, run.state.message)
                    client.set_flow_run_state(run.id, Scheduled(name="AwaitingRetry"), force=True)
                else:
                    before, self.runs[run.name] = self.runs[run.name], run
                    if in_words(run) != in_words(before):
                        get_run_logger().info("%s: %s", run.name, in_words(run))

    def _take_in(self) -> None:
        """Put what was published since into dvc.lock, and bring its outputs here. Raises UserError; then ask again."""
        with self._lock:
            new = {name: c for name, c in self._published().items() if self._taken.get(name) != c}
            entries: dict[str, lockfile.Entry] = {}
            for name, commit in new.items():
                entries |= lockfile.entries_of(published.read(self.project, name, commit).get(published.LOCK, ""))
            fresh = [name for name in entries if name not in self._made]
            if fresh:
                path = self.project / published.LOCK
                lockfile.write(path, lockfile.merged(lockfile.read(path), entries, self._first(), self.asked.order))
                store_child("pull", fresh, self._stop)
            self._made |= set(fresh)
            self._taken |= new

    def _published(self) -> dict[str, str]:
        """Ref -> commit, of our parts."""
        ours = {snapshot.ref(self.asked.rev, part) for part in self.asked.parts}
        return {name: c for name, c in snapshot.refs(self.project, f"{self.asked.rev}-").items() if name in ours}

    def _first(self) -> list[str]:
        """The stages whose entries keep their place: those of the last commit."""
        with suppress(UserError):
            return lockfile.names_in(snapshot.text_of("HEAD", published.LOCK, self.project))
        return []

    def cancel(self) -> None:
        """Stop the parts on all machines, wait until they have ended, and take in what they made."""
        self._stop.set()
        with get_client(sync_client=True) as client:
            for run in self.runs.values():
                if run.state is None or not run.state.is_final():
                    client.set_flow_run_state(run.id, Cancelling())
        end = time.monotonic() + STOPPING
        while not self._over() and time.monotonic() < end:
            time.sleep(1)
            self._look()
        with self._lock:  # the pull has heard it
            self._stop.clear()
        self._take_in()

    def end(self) -> None:
        """Forget the refs and the checkpoints of this run, and the refs of runs whose driver never came back."""
        if not self._over():
            self._look()
        if not self._over():
            return  # a worker may still read them; the next run forgets them
        try:
            names = [name for name in snapshot.refs(self.project) if self._is_done_with(name)]
            snapshot.forget(names, self.project)
            drop = [sys.executable, "-P", "-m", "flows.remote.checkpoints", "drop", "", self.asked.rev, "{}"]
            process.run(drop, process.environment(1), get_run_logger().info)
        except UserError as error:
            get_run_logger().warning("refs of this run stay on git's remote: %s", error)

    def _is_done_with(self, name: str) -> bool:
        rev = name.removeprefix(snapshot.ref("")).partition("-")[0]
        if rev == self.asked.rev:
            return True
        runs = runs_of(rev)  # none: another server's
        return bool(runs) and all(_is_old(run) for run in runs)


def _is_old(run: FlowRun) -> bool:
    """Whether it has ended long ago, or waits since then for a worker: who asked for it has gone."""
    waits = run.state is not None and run.state.is_scheduled()
    since = run.end_time or (run.created if waits else None)
    return since is not None and datetime.now(UTC) - since > KEPT
