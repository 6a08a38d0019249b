"""The flow that hands out a run's parts and gathers what came of them. It runs where the command was given."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Cancelled, Completed, Failed

from flows import dag, process
from flows.dag import Stage
from flows.local import cancelled, make, record, run_all, show_plan
from flows.remote import page
from flows.remote.gathering import Gathering
from flows.remote.handing_out import hand_out
from flows.remote.parts import is_tracked, shared, split
from flows.remote.secret import hidden
from flows.remote.server import DRIVER
from flows.schedule import Schedule, this_machine
from flows.supervisor import GRACE
from tav.complaints import one_line
from tav.params import UserError, load

STOPPED = "cancelled: nothing of it runs any more"


def _run_name() -> str:
    """By which the run is found among others: the project's folder."""
    return Path.cwd().name


@flow(name=DRIVER, flow_run_name=_run_name)
def on_workers(targets: list[str] | None = None, on: str = "process") -> State[Any]:
    """Make the targets and what they need, or everything: a part for each video on workers, the rest here.

    on: the kind of pool: process, docker or kubernetes. Ends as failed when a stage did: only what depends on it is
    left out.
    """
    try:
        return _run(targets or (), on)
    except UserError as error:
        return Failed(message=f"error: {one_line(hidden(str(error)))}")  # not raised: a traceback helps nobody


def _run(targets: Iterable[str], on: str) -> State[Any]:
    load()
    stages = _read(targets)
    show_plan(stages)
    parts, here = split(stages)
    failed: dict[str, str] = {}
    unmade: set[str] = set()
    made_on_workers = 0
    if parts:
        gathering = Gathering(Path.cwd(), hand_out(Path.cwd(), stages, parts, on))
        try:
            if not gathering.wait(page.Videos(parts).show, cancelled):
                return Cancelled(message=STOPPED)
            failed, unmade = gathering.failed(), gathering.unmade()
            made_on_workers = sum(len(part.stages) for part in parts) - len(unmade)
        except KeyboardInterrupt:
            gathering.cancel()
            raise
        finally:
            gathering.end()
    schedule = _make_here(here, unmade)
    if not schedule.over:
        return Cancelled(message=STOPPED)
    record()
    page.show_edits()
    return _state_of(made_on_workers, failed, schedule)


def _read(targets: Iterable[str]) -> list[Stage]:
    """The stages. Source data that was changed, and what models are, is taken in first: workers get it by its hash."""
    targets = list(targets)
    stages = dag.read(targets)
    first = shared(stages)
    changed = [stage for stage in stages if stage.changed and (is_tracked(stage.name) or stage.name in first)]
    for stage in changed:
        end = process.run(process.repro(stage.name), process.environment(1))
        if not end.ok:
            raise UserError(f"{stage.name} {end.text}")
    return dag.read(targets) if changed else stages


def _make_here(stages: Sequence[Stage], unmade: set[str]) -> Schedule:
    """Make what is of no video, but for what needs what was not made."""
    given_up = set(unmade)
    due = []
    for stage in stages:
        if stage.upstream & given_up:
            given_up.add(stage.name)
        else:
            due.append(stage)
    names = {stage.name for stage in due}
    why = "what it needs was made on workers"
    alone = {"upstream": frozenset[str]()}
    due = [
        stage.model_copy(update=alone | {"upstream": stage.upstream & names, "changed": stage.changed or why})
        for stage in due
    ]
    schedule = Schedule(due, this_machine())
    schedule.left_out = sorted(given_up)
    stop = threading.Event()
    futures: dict[str, PrefectFuture[Any]] = {}
    try:
        run_all(schedule, futures, stop, make, cancelled)
    finally:
        stop.set()
        wait(list(futures.values()), timeout=GRACE + 4)
    return schedule


def _state_of(made_on_workers: int, failed: dict[str, str], schedule: Schedule) -> State[Any]:
    """How the run ended, in a line."""
    problems = [f"{part}: {why}" for part, why in failed.items()]
    if schedule.failed:
        problems.append(schedule.summary())
    elif failed and schedule.left_out:
        problems.append(f"not made: {', '.join(schedule.left_out)}")
    if problems:
        return Failed(message="; ".join(problems))
    return Completed(message=f"made {made_on_workers} stages on workers and {len(schedule.made)} here")
