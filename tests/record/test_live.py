"""The loss of a tuning in a real MLflow store while it runs."""

import shutil
import time
from pathlib import Path

import pytest
from tracked_project import change, dvc, history, row, rows

from tav.params import UserError, load
from tav.record import live
from tav.record.live import live_tuning
from tav.record.store import TUNINGS
from tav.record.tracking import record
from tav.stages import Progress


@pytest.fixture
def live_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `dvc repro` finds it when it tunes `cat` anew, with six steps."""
    monkeypatch.setattr(live, "LIVE_AFTER", 0)
    monkeypatch.setattr(live, "LIVE_EVERY", 0.05)
    monkeypatch.setattr(live, "PATIENCE", 240)  # a busy machine imports mlflow slowly
    change("steps: 5", "steps: 6")
    shutil.rmtree("artifacts/tune/cat")
    return project


def tune_cat(done: range, ends: BaseException | None = None) -> None:
    """What the stage tells of its steps. `ends`: how it ends."""
    with live_tuning(load(), "cat") as log:
        log(Progress(0, 6))
        for i in done:
            log(Progress(i, 6, {"loss": 1 / i, "lr": 1e-4, "grad_norm": 0.5, "seconds": 0.25}))
        if ends:
            raise ends


@pytest.mark.usefixtures("live_project")
def test_the_loss_is_there_while_it_runs() -> None:
    with live_tuning(load(), "cat") as log:
        log(Progress(1, 6, {"loss": 1.0, "lr": 1e-4, "grad_norm": 0.5}))
        end = time.monotonic() + 120
        while len(rows(TUNINGS)) < 3 or not history(rows(TUNINGS)[0]):
            assert time.monotonic() < end, "no live loss within 120 s"
            time.sleep(0.1)
        run = row(TUNINGS, "cat")
        assert (run.info.status, run.data.params["tune.steps"], history(run)) == ("RUNNING", "6", [(1, 1.0)])
    assert row(TUNINGS, "cat").info.status == "FINISHED"


@pytest.mark.usefixtures("live_project")
def test_a_killed_tuning_goes_on_in_its_run_and_is_recorded_there() -> None:
    with pytest.raises(KeyboardInterrupt):
        tune_cat(range(1, 4), KeyboardInterrupt())
    killed = row(TUNINGS, "cat")
    with pytest.raises(ZeroDivisionError):
        tune_cat(range(3, 5), ZeroDivisionError())  # from its checkpoint
    failed = row(TUNINGS, "cat")
    dvc("repro", "tune@cat", "-s")
    assert str(record(load())).startswith("MLflow: 1 edits, 2 tunings (1 updated)")
    ended = row(TUNINGS, "cat")
    assert [run.info.status for run in (killed, failed, ended)] == ["KILLED", "FAILED", "FINISHED"]
    assert killed.info.run_id == failed.info.run_id == ended.info.run_id
    assert history(ended) == [(i, 1 / i) for i in range(1, 7)]


@pytest.mark.usefixtures("live_project")
def test_tuned_again_by_force_is_one_row() -> None:
    change("steps: 6", "steps: 5")  # as on record
    tune_cat(range(1, 6))
    dvc("checkout", "-f")
    assert str(record(load())) == "MLflow: 2 edits, 2 tunings (1 updated)"
    assert len(rows(TUNINGS)) == 2


def test_a_short_tuning_does_not_wait_for_mlflow(live_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LIVE_AFTER", 60)
    start = time.monotonic()
    tune_cat(range(1, 7))
    assert time.monotonic() - start < 1
    assert len(rows(TUNINGS)) == 2


def test_a_store_that_is_away_is_told_once_and_stops_nothing(
    live_project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    start = time.monotonic()
    tune_cat(range(1, 7))
    with pytest.raises(UserError, match=r"^MLflow at http://127.0.0.1:9 can't be used: .*; run `tav record` later$"):
        record(load())
    assert time.monotonic() - start < 60  # MLflow's own patience is 245 s a call
    said = [line for line in capfd.readouterr().err.splitlines() if line]
    assert len(said) == 1
    assert said[0].startswith("MLflow: the loss isn't logged live (")
