"""What is asked of the workers: the snapshot and the bytes that it needs are pushed, then a flow run for each part."""

import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prefect import get_client, get_run_logger
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from flows import process
from flows.dag import Stage
from flows.remote import lockfile, server, snapshot
from flows.remote.parts import Part, Pool, shared
from flows.remote.worker import FLOW
from tav.complaints import listed
from tav.params import UserError


class Asked(NamedTuple):
    """What workers were asked for."""

    rev: str
    parts: dict[str, Part]
    runs: dict[str, FlowRun]
    """Part -> its flow run."""
    order: list[str]
    """All stages as `dvc repro` makes them."""


def hand_out(project: Path, stages: Sequence[Stage], parts: Sequence[Part], on: str) -> Asked:
    """Push what to run and what it needs, and ask for a flow run for each part. Raises UserError."""
    from flows import dvc_api
    from flows.remote import store

    with dvc_api.repository() as repo:
        store.check_remote(repo)
        names = [name for part in parts for name in part.stages]
        weights = store.weights(repo, store.models_of(repo, names))
        leaves = store.leaves(repo, names) | {source: "model" for source, kept in weights.items() if kept is None}
        order = store.order(repo)
    server.set_up()
    taken = snapshot.take(project)
    _check_carried(taken.commit, leaves, project)
    if taken.left_out:
        get_run_logger().warning("not for workers, as they look like secrets: %s", listed(taken.left_out, ", "))
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags=[tag(taken.rev)])  # so that nobody takes its refs for abandoned ones
    store_child("push", _needed(project, stages, parts))
    snapshot.push(taken, project)
    going_on = {run.name: run for run in runs_of(taken.rev) if run.deployment_id and not _has_ended(run)}
    if on == "process":
        parts = pools_for(parts, {pool for pool in server.POOLS if server.online(pool)})
    longest_first = sorted(parts, key=lambda part: -len(part.stages))  # a long one begun last would be waited for
    runs = {part.name: going_on.get(part.name) or _ask(taken.rev, part, on) for part in longest_first}
    asked = [f"{part.name}: {', '.join(part.stages)}{' (runs already)' * (part.name in going_on)}" for part in parts]
    get_run_logger().info("for workers: %s", listed(asked, "; "))
    return Asked(taken.rev, {part.name: part for part in parts}, runs, order)


def tag(rev: str) -> str:
    """Of all flow runs of a snapshot."""
    return f"rev-{rev[:12]}"


def runs_of(rev: str) -> list[FlowRun]:
    """All flow runs of a snapshot: of its drivers and its parts."""
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag(rev)])))


def _has_ended(run: FlowRun) -> bool:
    return run.state is None or run.state.is_final() or run.state.type == StateType.CANCELLING


def store_child(what: str, names: Sequence[str], stop: threading.Event | None = None) -> None:
    """Push or pull the outputs of stages, and tracked files, in a process of its own. Raises UserError."""
    if names:
        command = [sys.executable, "-P", "-m", "flows.remote.store", what, *names]
        end = process.run(command, process.environment(1), get_run_logger().info, stop=stop)
        if not end.ok:
            raise UserError(f"dvc {what} {end.text}")


def _needed(project: Path, stages: Sequence[Stage], parts: Sequence[Part]) -> list[str]:
    """What workers pull: what the parts' stages need from outside, and what they made themselves before."""
    mine = {name for part in parts for name in part.stages}
    outside = {before for stage in stages if stage.name in mine for before in stage.upstream} - mine
    first = shared(stages)
    outside |= {before for stage in stages if stage.name in first for before in stage.upstream}  # weights
    made_stages = lockfile.names_in(lockfile.read(project / "dvc.lock"))
    return sorted(outside | (mine & set(made_stages)))


def _check_carried(commit: str, leaves: Mapping[str, str], project: Path) -> None:
    """Raises UserError when a stage reads what neither git nor DVC brings to a worker. Full paths are left alone."""
    lacking = [
        f"{path} (of {stage})"
        for path, stage in leaves.items()
        if not Path(path).is_absolute() and not snapshot.carried(commit, path, project)
    ]
    if lacking:
        raise UserError(
            f"neither git nor DVC keeps {listed(lacking, ', ')}, so no worker can have it: `dvc add` it, or "
            "take it out of .gitignore"
        )


def _ask(rev: str, part: Part, on: str) -> FlowRun:
    name = f"{FLOW}/{part.pool}" if on == "process" else f"{FLOW}/{part.pool}-{on}"
    try:
        asked: Any = run_deployment(
            name,
            parameters={"rev": rev, "part": part.name, "stages": part.stages},
            flow_run_name=part.name,
            timeout=0,
            tags=[tag(rev)],
        )
    except ObjectNotFound:
        raise UserError(f"Prefect's server has no deployment {name}: `prefect deploy --all` (docs/scale.md)") from None
    run: FlowRun = asked
    return run


def pools_for(parts: Sequence[Part], online: set[Pool]) -> list[Part]:
    """The parts with the pools that they go to: what needs no GPU to `gpu` too, where `cpu` has no workers now.

    Says which workers are missing: a part waits for them.
    """
    chosen = list(parts) if "cpu" in online else [part._replace(pool="gpu") for part in parts]
    for pool in sorted({part.pool for part in chosen} - online):
        get_run_logger().warning(
            "no worker of the pool %s is there yet: `tav worker %s` starts one", server.pool_name(pool), pool
        )
    return chosen
