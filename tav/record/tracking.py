"""MLflow: the loss of a tuning while it runs, and all that dvc.lock says. The only file that imports mlflow.

Two experiments, both flat: `tunings`, and `edits`, where one row is one edit in one configuration. A row is found
again by the hash of what it was made from (`Made.identity`). mlflow is imported late: it takes seconds.
"""

import contextlib
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tav.params import Params, UserError
from tav.record.provenance import Made, Point, Stale, read_lock, upstream

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TUNINGS, EDITS = "tunings", "edits"
NOTES = {
    TUNINGS: "One row is one tuning of one video, with its loss by step.",
    EDITS: "One row is one edit in one configuration, with all parameters that made it.",
}
IDENTITY, OUTPUTS = "tav.identity", "tav.outputs"  # tags
LONG = 20
"""Rows from which on `record` draws a bar."""
MOST = 1000
"""Metrics that MLflow takes in one call, and runs that it gives."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is down is told in 4 s, not in 245
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # the server is up in a quarter of the time
}


class Recorded(NamedTuple):
    """What `record` found in dvc.lock and made MLflow say."""

    edits: int = 0
    tunings: int = 0
    new: int = 0
    updated: int = 0
    stale: int = 0
    absent: int = 0

    def __str__(self) -> str:
        def said(count: int, what: str) -> list[str]:
            return [f"{count} {what}"] * bool(count)

        changes = ", ".join(said(self.new, "new") + said(self.updated, "updated"))
        notes = said(self.stale, "left out: made from what has changed since (run `dvc repro`)")
        notes += said(self.absent, "left out: the files aren't those of dvc.lock (run `dvc checkout` or `dvc repro`)")
        line = f"MLflow: {self.edits} edits, {self.tunings} tunings" + f" ({changes})" * bool(changes)
        return "; ".join([line, *notes])


def address() -> str:
    """The store: MLFLOW_TRACKING_URI, else mlflow.db in the current folder, as an absolute address."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').absolute()}"


def record(params: Params) -> Recorded:
    """Make MLflow say what dvc.lock says, as often as one likes. Raises UserError when the store can't be reached.

    Only what is whole is recorded: everything upstream as it was, and the files as dvc.lock names them.
    """
    lock = read_lock()
    names = [name for name in lock if name.startswith(("tune@", "evaluate@"))]
    count = dict.fromkeys(Recorded._fields, 0)
    if not names:
        return Recorded()
    with _reachable(), open_rows() as rows:
        for name in _with_bar(names):
            try:
                made = Made(name, upstream(lock, name), params)
            except (Stale, UserError):  # or made by a tav whose parameters this one doesn't know
                count["stale"] += 1
                continue
            outcome = rows.record(made)
            count["edits" if made.is_edit else "tunings"] += outcome != "absent"
            if outcome != "same":
                count[outcome] += 1
    return Recorded(**count)


def serve(port: int = 5000) -> None:
    """Show the store in the browser: becomes `mlflow server`, until Ctrl-C.

    Raises UserError when the port is taken or nothing is recorded yet.
    """
    if address().startswith("http"):
        print(f"MLflow is at {address()}")
        return
    if "MLFLOW_TRACKING_URI" not in os.environ and not Path("mlflow.db").exists():
        raise UserError(f"nothing is recorded yet in {Path.cwd()}: run `dvc repro`, then `tav record`")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UserError(f"port {port} is taken: run `tav ui --port {port + 1}`") from None
    print(f"MLflow: http://127.0.0.1:{port} in half a minute. Ctrl-C ends it.", flush=True)
    place = ["--backend-store-uri", address(), "--artifacts-destination", Path("mlruns").absolute().as_uri()]
    command = ["mlflow", "server", *place, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    os.execve(sys.executable, [sys.executable, "-m", *command], {**QUIET, **os.environ})


@contextlib.contextmanager
def open_rows() -> "Iterator[Rows]":
    """One process at a time makes the store and looks for rows: two crash on a fresh sqlite, and double a row."""
    from filelock import FileLock

    with FileLock("mlflow.db.lock"):
        yield Rows(_client())


class Rows:
    """The two experiments, and what is in them already."""

    def __init__(self, client: "MlflowClient") -> None:
        self.client = client
        self.experiments = {name: self._experiment(name) for name in (TUNINGS, EDITS)}
        self.runs = self._identified()
        self.commit = _commit()

    def record(self, made: Made) -> str:
        """Make the row say what was made: "new", "updated", "same", or "absent" where the files aren't here."""
        run = self.runs.get(made.identity)
        if run and run.data.tags.get(OUTPUTS) == made.outputs and run.info.status == "FINISHED":
            return "same"
        if not made.is_here():
            return "absent"
        fresh = run is None
        if run and not self._agrees(run, made):
            self.client.delete_run(run.info.run_id)
            run = None
        run = run or self.create(made)
        self._write(run, made)
        return "new" if fresh else "updated"

    def create(self, made: Made) -> "Run":
        """A run that says what is made, and of what."""
        tags = {IDENTITY: made.identity, **self.commit}
        run = self.client.create_run(self.experiments[EDITS if made.is_edit else TUNINGS], tags=tags, run_name=made.key)
        self._log_params(run, made)
        return run

    def log(self, run: "Run", points: Iterable[Point]) -> None:
        """Log the points of a curve."""
        from mlflow.entities import Metric

        metrics = [Metric(name, value, p.time, p.step) for p in points for name, value in p.values.items()]
        for start in range(0, len(metrics), MOST):
            self.client.log_batch(run.info.run_id, metrics=metrics[start : start + MOST])

    def go_on(self, made: Made) -> "tuple[Run, int]":
        """The run of a tuning that didn't end well, and its last step; else a new run, in the place of any."""
        run = self.runs.get(made.identity)
        if run and run.info.status != "FINISHED":
            self.client.update_run(run.info.run_id, "RUNNING")
            return run, self._last_step(run)
        if run:
            self.client.delete_run(run.info.run_id)
        return self.create(made), -1

    def finish(self, run: "Run", status: str = "FINISHED") -> None:
        self.client.set_terminated(run.info.run_id, status)

    def _last_step(self, run: "Run") -> int:
        """The step up to which the loss is logged; -1 when there is none."""
        return max((m.step for m in self.client.get_metric_history(run.info.run_id, "loss")), default=-1)

    def _write(self, run: "Run", made: Made) -> None:
        last = self._last_step(run)
        self._log_params(run, made)
        self.log(run, (p for p in made.curve(run.info.start_time) if p.step > last))
        self.log(run, [Point(0, _now(), made.metrics())])
        for file in made.files():
            self.client.log_artifact(run.info.run_id, str(file), None if made.is_edit else "samples")
        self.client.set_tag(run.info.run_id, OUTPUTS, made.outputs)
        self.finish(run)

    def _log_params(self, run: "Run", made: Made) -> None:
        from mlflow.entities import Param

        self.client.log_batch(run.info.run_id, params=[Param(name, value) for name, value in made.params().items()])

    def _agrees(self, run: "Run", made: Made) -> bool:
        """Whether the run can be added to: no parameter and no point of a curve can be taken back in MLflow."""
        made_loss = {p.step: p.values["loss"] for p in made.curve()}
        logged = self.client.get_metric_history(run.info.run_id, "loss")
        same_loss = all(math.isclose(m.value, made_loss.get(m.step, math.nan), rel_tol=1e-3) for m in logged)
        return same_loss and run.data.params.items() <= made.params().items()

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            place = None if address().startswith("http") else Path("mlruns").absolute().as_uri()
            return str(self.client.create_experiment(name, place, {"mlflow.note.content": NOTES[name]}))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

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


def _client() -> "MlflowClient":
    _quiet()
    from mlflow import MlflowClient

    return MlflowClient(address())


def _quiet() -> None:
    """mlflow reads these when it is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    _quiet()
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise UserError(f"MLflow at {address()} can't be used ({first_line(error)}): run `tav record` later") from None


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _commit() -> dict[str, str]:
    """The tag with the git commit. None where there is no git."""
    run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {"mlflow.source.git.commit": run.stdout.strip()} if run.returncode == 0 else {}


def _now() -> int:
    return int(time.time() * 1000)


def _with_bar(names: list[str]) -> Iterable[str]:
    from rich.console import Console
    from rich.progress import track

    quiet = len(names) < LONG or not sys.stderr.isatty()
    return track(names, "MLflow", console=Console(stderr=True), transient=True, disable=quiet)
