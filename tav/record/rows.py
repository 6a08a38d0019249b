"""The rows in MLflow: `tunings`, and `edits`, where one row is one edit in one configuration. Both are flat.

A row is found again by the hash of what it was made from (`Result.identity`).
"""

import contextlib
import json
import math
import subprocess
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tav.metrics.table import as_markdown
from tav.record.provenance import Point, Result
from tav.record.store import ARTIFACTS, EDITS, TUNINGS, address, alone, client, settle

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

NOTES = {
    TUNINGS: "One row is one tuning of one video, with its loss by step.",
    EDITS: f"One row is one edit in one configuration, with all parameters that made it.\n\n{as_markdown()}",
}
NOTE = "mlflow.note.content"
KIND, OF_TRAINING = "mlflow.experimentKind", "custom_model_development"
"""Without this tag of an experiment MLflow's page guesses, and opens it as one of language models."""
IDENTITY, OUTPUTS, SOURCE = "tav.identity", "tav.outputs", "mlflow.source.name"
"""Tags of a row."""
MOST = 1000
"""Metrics that MLflow takes in one call, and runs that it gives."""


@contextlib.contextmanager
def open_rows() -> "Iterator[Rows]":
    """The rows, for one process at a time."""
    with alone():
        settle()
        yield Rows(client())


class Rows:
    """The two experiments, and what is in them already."""

    def __init__(self, client: "MlflowClient") -> None:
        self.client = client
        self.experiments = {name: self._experiment(name) for name in (TUNINGS, EDITS)}
        self.runs = self._identified()
        self.commit = _commit()

    def record(self, result: Result) -> str:
        """Make the row say what was made: "new", "updated", "same", or "absent" where the files aren't here."""
        run = self.runs.get(result.identity)
        same = run and run.data.tags.get(OUTPUTS) == result.outputs and run.info.status == "FINISHED"
        if run and same and SOURCE in run.data.tags:
            return "same"
        if not result.is_here():
            return "same" if same else "absent"
        fresh = run is None
        if run and not self._agrees(run, result):
            self.client.delete_run(run.info.run_id)
            run = None
        run = run or self.create(result, result.seconds())
        self._write(run, result)
        return "new" if fresh else "updated"

    def create(self, result: Result, seconds: float = 0) -> "Run":
        """A run that says what is made, and of what. seconds: for how long it was made already."""
        tags = {IDENTITY: result.identity, **self.commit}
        experiment, start = self.experiments[EDITS if result.is_edit else TUNINGS], _now() - int(1000 * seconds)
        run = self.client.create_run(experiment, start, tags, result.key)
        self._log_params(run, result)
        return run

    def log(self, run: "Run", points: Iterable[Point]) -> None:
        """Log the points of a curve."""
        from mlflow.entities import Metric

        metrics = [Metric(name, value, p.time, p.step) for p in points for name, value in p.values.items()]
        for start in range(0, len(metrics), MOST):
            self.client.log_batch(run.info.run_id, metrics=metrics[start : start + MOST])

    def go_on(self, result: Result) -> "tuple[Run, int]":
        """The run of a tuning that didn't end well, and its last step; else a new run, in the place of any."""
        run = self.runs.get(result.identity)
        if run and run.info.status != "FINISHED":
            self.client.update_run(run.info.run_id, "RUNNING")
            return run, self._last_step(run)
        if run:
            self.client.delete_run(run.info.run_id)
        return self.create(result), -1

    def finish(self, run: "Run", status: str = "FINISHED", seconds: float | None = None) -> None:
        """seconds: that the work took, where it isn't what the clock says."""
        end = None if seconds is None else run.info.start_time + int(1000 * seconds)
        self.client.set_terminated(run.info.run_id, status, end)

    def _last_step(self, run: "Run") -> int:
        """The step up to which the loss is logged; -1 when there is none."""
        return max((m.step for m in self.client.get_metric_history(run.info.run_id, "loss")), default=-1)

    def _write(self, run: "Run", result: Result) -> None:
        last = self._last_step(run)
        self._log_params(run, result)
        self.log(run, (p for p in result.curve(run.info.start_time) if p.step > last))
        self.log(run, [Point(0, _now(), result.metrics())])
        for file in result.files():
            self.client.log_artifact(run.info.run_id, str(file), None if result.is_edit else "samples")
        self._log_source(run, result)
        self.client.set_tag(run.info.run_id, OUTPUTS, result.outputs)
        self.finish(run, seconds=result.seconds())

    def _log_source(self, run: "Run", result: Result) -> None:
        """The command that makes it, and the video that it is made of, with DVC's hash."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        path, md5 = result.source_video()
        where = json.dumps({"path": path, "md5": md5})
        video = Dataset(name=path, digest=md5, source_type="dvc", source=where)
        self.client.log_inputs(
            run.info.run_id, [DatasetInput(video, [InputTag("mlflow.data.context", "source video")])]
        )
        self.client.set_tag(run.info.run_id, "mlflow.source.type", "LOCAL")
        self.client.set_tag(run.info.run_id, SOURCE, f"dvc repro {result.name}")

    def _log_params(self, run: "Run", result: Result) -> None:
        from mlflow.entities import Param

        self.client.log_batch(run.info.run_id, params=[Param(name, value) for name, value in result.params().items()])

    def _agrees(self, run: "Run", result: Result) -> bool:
        """Whether the run can be added to: no parameter and no point of a curve can be taken back in MLflow."""
        made_loss = {p.step: p.values["loss"] for p in result.curve()}
        logged = self.client.get_metric_history(run.info.run_id, "loss")
        same_loss = all(math.isclose(m.value, made_loss.get(m.step, math.nan), rel_tol=1e-3) for m in logged)
        return same_loss and run.data.params.items() <= result.params().items()

    def _experiment(self, name: str) -> str:
        """Its id. Made where there is none, and one that opens on training runs."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            place = None if address().startswith("http") else ARTIFACTS.absolute().as_uri()
            return str(self.client.create_experiment(name, place, {NOTE: NOTES[name], KIND: OF_TRAINING}))
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        if _is_guessed(experiment):
            self.client.set_experiment_tag(experiment.experiment_id, KIND, OF_TRAINING)
        if _is_outdated(experiment.tags.get(NOTE, ""), NOTES[name]):
            self.client.set_experiment_tag(experiment.experiment_id, NOTE, NOTES[name])
        return str(experiment.experiment_id)

    def _identified(self) -> "dict[str, Run]":
        """All rows by identity."""
        runs: list[Run] = []
        page = self._page(None)
        while page.token:
            runs, page = [*runs, *page], self._page(page.token)
        newest_last = reversed([*runs, *page])
        return {run.data.tags[IDENTITY]: run for run in newest_last}

    def _page(self, token: str | None) -> Any:
        where = f"tags.`{IDENTITY}` != ''"
        return self.client.search_runs([*self.experiments.values()], where, max_results=MOST, page_token=token)


def _is_guessed(experiment: "Experiment") -> bool:
    """Whether no person has said of which kind it is."""
    kind = experiment.tags.get(KIND)
    return kind is None or kind.endswith("_inferred") or kind == "no_inferred_type"


def _is_outdated(note: str, ours: str) -> bool:
    """Whether an experiment has the note of an older tav. What a person wrote there stays."""
    return note != ours and note.partition("\n")[0] == ours.partition("\n")[0]


def _commit() -> dict[str, str]:
    """The tag with the git commit. None where there is no git."""
    run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {"mlflow.source.git.commit": run.stdout.strip()} if run.returncode == 0 else {}


def _now() -> int:
    return int(time.time() * 1000)
