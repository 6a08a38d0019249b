"""What runs for the page: one job at a time, stage by stage as the flow does it, in a child that can be stopped."""

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Literal

from flows import dag, ends, process
from flows.repro import SAYS
from tav.params import UserError

WAITING = 8
"""Jobs that may wait."""
PROGRESS = re.compile(r"^(\S+) (\d+)/([1-9]\d*), (\d+) s left")
State = Literal["waits", "runs", "done", "failed", "stopped"]


@dataclass
class StageView:
    """A stage of a job, as the page shows it."""

    name: str
    state: str = ""
    """"", "runs", or how it ended in words."""
    done: int = 0
    total: int = 0
    left: int | None = None
    """Seconds."""


@dataclass
class Job:
    """An edit or some, with what they need."""

    video: str
    edits: tuple[str, ...]
    state: State = "waits"
    stages: list[StageView] = field(default_factory=list)
    line: str = ""
    """The newest of its log."""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "stopped")

    def cancel(self) -> None:
        """What waits is stopped at once, what runs as soon as its children have ended."""
        self.stop.set()
        if self.state == "waits":
            self.state = "stopped"

    def run(self) -> None:
        """Make what the edits need, then the report, then the record. Sets `state`."""
        self.state = "runs"
        try:
            ok = self._make() and self._child([sys.executable, "-m", "tav", "record"]).ok
            self.state = "done" if ok else "stopped" if self.stop.is_set() else "failed"
        except UserError as error:
            self.line, self.state = str(error), "failed"
        except Exception as error:  # the next job is to run, whatever this one met
            self.line, self.state = f"{type(error).__name__}: {error}", "failed"
            raise

    def _make(self) -> bool:
        stages = dag.read([f"evaluate@{edit}" for edit in self.edits])
        needs = dag.needs(stages)
        fresh = ends.tell(ends.UNCHANGED, "").text
        for stage in stages:
            if not stage.name.endswith(".dvc"):
                self.stages.append(StageView(stage.name, fresh if needs[stage.name] == "up to date" else ""))
        self.stages.append(StageView("report"))
        end = self._child(process.repro(*(view.name for view in self.stages if not view.state)))
        for view in self.stages:
            if view.state == "runs":
                view.state, view.left = end.text, None
        return end.ok

    def _child(self, command: Sequence[str]) -> ends.Exit:
        env = {"TAV_LINE_EVERY": "1"} | process.environment(_cores())
        if "TAV_RESIDENT" not in os.environ:
            del env["TAV_RESIDENT"]  # what holds the models ends with the child, not with the page
        return process.run(command, env, self._hear, None, self.stop)

    def _hear(self, line: str) -> None:
        """A line of a child: one that `flows.repro` says, a stage's progress, or else of its log."""
        views = {view.name: view for view in self.stages}
        if line.startswith(SAYS):
            name, _, code = line.removeprefix(SAYS).partition(" ")
            views[name].left = None
            views[name].state = ends.tell(int(code), self.line).text if code else "runs"
            return
        self.line = line.strip() or self.line
        if (match := PROGRESS.match(line)) and (view := views.get(match[1])):
            view.done, view.total, view.left = int(match[2]), int(match[3]), int(match[4])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Jobs:
    """Runs one job after the other, in a thread of its own."""

    def __init__(self) -> None:
        self.all: list[Job] = []
        self._queue: SimpleQueue[Job] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def add(self, job: Job) -> int:
        """Gives its number. Raises UserError when too many wait."""
        if sum(not each.is_over for each in self.all) > WAITING:
            raise UserError(f"{WAITING} edits wait already: try again when some are done")
        self.all.append(job)
        self._queue.put(job)
        return len(self.all) - 1

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            if not job.is_over:
                try:
                    job.run()
                except Exception as error:
                    print(f"error: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    @property
    def current(self) -> Job | None:
        """That which runs, else that which ended last."""
        begun = [job for job in self.all if job.state != "waits"]
        return next((job for job in begun if job.state == "runs"), begun[-1] if begun else None)

    @property
    def waiting(self) -> list[Job]:
        return [job for job in self.all if job.state == "waits"]

    def to_cancel(self, number: int | None) -> Job | None:
        """Of the one who started `number`: that job; when it is over, or there is none, what runs."""
        if number is not None and not self.all[number].is_over:
            return self.all[number]
        return next((job for job in self.all if job.state == "runs"), None)

    def stop_all(self, wait: Callable[[float], None] = time.sleep) -> None:
        """Stop what runs and what waits, and see it end."""
        for job in self.all:
            job.cancel()
        for _ in range(150):
            if all(job.is_over for job in self.all):
                return
            wait(0.1)
