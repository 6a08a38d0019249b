"""What runs for the page: one job at a time, stage by stage as the flow does it, each a child that can be stopped."""

import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Literal

from flows import dag, ends, process
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

    def run(self) -> None:
        """Make what the edits need, then the report, then the record. Sets `state`."""
        self.state = "runs"
        try:
            found = dag.read([f"evaluate@{edit}" for edit in self.edits])
            self.stages = [StageView(stage.name) for stage in found if not stage.name.endswith(".dvc")]
            self.stages.append(StageView("report"))
            for view in self.stages:
                if not self._make(view):
                    self.state = "stopped" if self.stop.is_set() else "failed"
                    return
            self._child([sys.executable, "-m", "tav", "record"], StageView("record"))
            self.state = "done"
        except UserError as error:
            self.line, self.state = str(error), "failed"

    def _make(self, view: StageView) -> bool:
        view.state = "runs"
        end = self._child(process.repro(view.name), view)
        view.state, view.left = end.text, None
        return end.ok

    def _child(self, command: Sequence[str], view: StageView) -> ends.Exit:
        def on_line(line: str) -> None:
            self.line = line.strip() or self.line
            if found := PROGRESS.match(line):
                view.done, view.total, view.left = int(found[2]), int(found[3]), int(found[4])

        env = process.environment(_cores()) | {"TAV_LINE_EVERY": "1"}
        return process.run(command, env, on_line, None, self.stop)


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Jobs:
    """Runs one job after the other, in a thread of its own."""

    def __init__(self) -> None:
        self.all: list[Job] = []
        self.version = 0
        """Counts the jobs that are over: what the page shows of results is new then."""
        self._queue: SimpleQueue[Job] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def add(self, job: Job) -> None:
        """Raises UserError when too many wait."""
        if sum(not each.is_over for each in self.all) > WAITING:
            raise UserError(f"{WAITING} edits wait already: try again when some are done")
        self.all.append(job)
        self._queue.put(job)

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            if job.stop.is_set():
                job.state = "stopped"
            else:
                job.run()
            self.version += 1

    @property
    def current(self) -> Job | None:
        """That which runs, else the newest."""
        return next((job for job in self.all if job.state == "runs"), self.all[-1] if self.all else None)

    def ahead_of(self, job: Job) -> int:
        return sum(not each.is_over for each in self.all[: self.all.index(job)])

    def stop_all(self, wait: Callable[[float], None] = time.sleep) -> None:
        """Stop what runs and what waits, and see it end."""
        for job in self.all:
            job.stop.set()
        for _ in range(150):
            if all(job.is_over for job in self.all):
                return
            wait(0.1)
