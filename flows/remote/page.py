"""What a run's page on Prefect's server shows: where each video is, and in the end the edits with their metrics."""

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType

from flows.remote.parts import Part
from flows.remote.secret import hidden
from flows.remote.worker import MACHINE
from tav.metrics.table import METRICS
from tav.params import load

Row = dict[str, Any]


class Videos:
    """The table of a run's parts: what runs where, how far it is, and the last words of what failed."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self._shown: tuple[UUID, list[Row]] | None = None

    def show(self, runs: dict[str, FlowRun]) -> None:
        """Bring the table up to date. A page that is away is no reason to lose a run."""
        with suppress(Exception):
            rows = self.rows(runs)
            if self._shown is None:
                artifact: Any = create_table_artifact(
                    rows, key="videos", description="Each video, and the stages that run"
                )
                self._shown = artifact, rows
            elif rows != self._shown[1]:
                with get_client(sync_client=True) as client:
                    client.update_artifact(self._shown[0], _data(rows))
                self._shown = self._shown[0], rows

    def rows(self, runs: dict[str, FlowRun]) -> list[Row]:
        going = [run.id for run in runs.values() if run.state and run.state.is_running()]
        stages, progress = _running(going) if going else ({}, {})
        return [
            {
                "video": part.name,
                "is": standing(run),
                "on": run.labels.get(MACHINE, ""),
                "stage": ", ".join(stages.get(run.id, [])),
                "progress": "; ".join(progress.get(run.id, [])),
                "stages": len(part.stages),
                "said": _last_words(run),  # last, as it may be long: Prefect cuts what is wider than the page
            }
            for part in self.parts
            if (run := runs[part.name])
        ]


def standing(run: FlowRun) -> str:
    """How a part stands, in a word or so. Before it runs Prefect has many: scheduled, late, pending, submitting."""
    state = run.state
    if state is None or not (state.is_running() or state.is_final() or state.type == StateType.CANCELLING):
        return "waits for a worker"
    return str(state.name).lower()


def in_words(run: FlowRun) -> str:
    """How a part stands, as in "running on node-3"."""
    machine = run.labels.get(MACHINE)
    message = hidden((run.state and run.state.message) or "")
    if run.state and (run.state.is_final() or run.state.name == "AwaitingRetry") and message:
        return message
    return f"{standing(run)} on {machine}" if run.state and run.state.is_running() and machine else standing(run)


def _last_words(run: FlowRun) -> str:
    message = hidden((run.state and run.state.message) or "") if run.state and run.state.is_final() else ""
    return message.partition(":")[0] if run.state and run.state.is_completed() else message


def _running(ids: list[UUID]) -> tuple[dict[UUID, list[str]], dict[UUID, list[str]]]:
    """By flow run: the stages that run, and how far they are."""
    active = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING])))
    bars = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=ids), type=ArtifactFilterType(any_=["progress"]))
    with get_client(sync_client=True) as client:
        tasks = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)), task_run_filter=active
        )
        artifacts = client.read_artifacts(artifact_filter=bars)
    stages: dict[UUID, list[str]] = {}
    progress: dict[UUID, list[str]] = {}
    running = set()
    for run in tasks:
        if run.flow_run_id:
            stages.setdefault(run.flow_run_id, []).append(run.name)
            running.add(run.id)
    for bar in artifacts:
        if bar.flow_run_id and bar.task_run_id in running and bar.description:
            progress.setdefault(bar.flow_run_id, []).append(bar.description)
    return stages, progress


def show_edits() -> None:
    """The table of edits with their metrics, and where the report and MLflow's rows are."""
    with suppress(Exception):
        rows = edit_rows()
        if rows:
            create_table_artifact(rows, key="edits", description="The edits and their metrics")
            create_markdown_artifact(_where(), key="where", description="Where the results are")


def edit_rows() -> list[Row]:
    """A row for each edit that was measured: its prompt and its metrics, as the report shows them."""
    rows = []
    for name, edit in load().edits.items():
        measured = Path("artifacts/evaluate", name, "metrics.json")
        if measured.exists():
            values = json.loads(measured.read_text(encoding="utf-8"))["edit"]
            shown = {
                METRICS[metric].title: METRICS[metric].text(values[metric]) for metric in METRICS if metric in values
            }
            rows.append({"edit": name, "video": edit.video, **shown, "prompt": edit.prompt})
    return rows


def _where() -> str:
    from tav.record import store

    report = Path("artifacts/report/index.html").absolute()
    lines = [f"- Report: `{report}` on {socket.gethostname()}" if report.exists() else "- The report was not made"]
    lines.append(
        f"- MLflow: `{hidden(store.safe(store.address()))}`, experiments `edits` and `tunings`; `tav ui` opens it"
    )
    return "\n".join(lines)


def _data(rows: list[Row]) -> Any:
    from prefect.client.schemas.actions import ArtifactUpdate

    return ArtifactUpdate(data=json.dumps(rows))
