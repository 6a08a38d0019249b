"""The record in a real MLflow store, of a real DVC project whose stages are quick: a script writes the artifacts."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tracked_project import PARAMS, dvc, make_tracked_project

from tav.params import UserError, load
from tav.record import live
from tav.record.live import live_tuning
from tav.record.provenance import md5_of
from tav.record.tracking import EDITS, IDENTITY, TUNINGS, address, record, serve
from tav.stages import Progress


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after `dvc repro` and `tav record`. Its dvc.yaml is the real one, less the report."""
    folder = tmp_path_factory.mktemp("project")
    make_tracked_project(folder)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        subprocess.run([*git, "init", "-q"], check=True)
        dvc("init")
        dvc("repro")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "made"], check=True)
        assert str(record(load())) == "MLflow: 2 edits, 2 tunings (4 new)"
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to change."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


def rows(experiment: str) -> list[Any]:
    """The rows of an experiment, newest first; none may be there twice."""
    client = MlflowClient(address())
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len({run.data.tags[IDENTITY] for run in found}) == len(found)
    return list(found)


def row(experiment: str, name: str) -> Any:
    """The newest row of that name."""
    return next(run for run in rows(experiment) if run.info.run_name == name)


def history(run: Any, metric: str = "loss") -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in MlflowClient(address()).get_metric_history(run.info.run_id, metric)]


def change(old: str, new: str, name: str = "params.yaml") -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))


def test_a_row_says_all_that_made_the_edit(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    run = row(EDITS, "car--panda")
    expected = {
        "video": "car",
        "source_prompt": "a red car",
        "target_prompt": "a panda",
        "tune.learning_rate": "0.0002",  # the video's own
        "tune.steps": "5",
        "extract.num_frames": "4",
        "extract.fps": "null",
        "invert.num_inference_steps": "20",
        "edit.seed": "33",  # the default
        "edit.from": "inversion",
        "base.path": "sd",
        "compute.precision": "fp32",
        "evaluate.clip.path": "clip",
    }
    assert expected.items() <= run.data.params.items()
    assert "compute.memory" not in run.data.params  # not in dvc.lock: it may have been another
    assert run.data.metrics == {
        "frame_consistency": 0.9,
        "source.frame_consistency": 0.8,
        "tune.seconds": 1.25,
        "tune.peak_memory_gb": 0.5,
        "invert.psnr": 20.5,
        "loss": 0.2,
    }
    assert history(run) == [(i, 1 / i) for i in range(1, 6)]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert run.data.tags["mlflow.source.git.commit"] == commit
    assert (run.info.status, row(EDITS, "cat--dog").data.params["edit.seed"]) == ("FINISHED", "7")
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert folder.is_relative_to(made / "mlruns")
    assert {f.name for f in folder.iterdir()} == {"video.mp4", "preview.gif", "sheet.png"}
    tuning = row(TUNINGS, "cat")
    assert "edit.seed" not in tuning.data.params
    assert history(tuning, "lr") == [(i, 1e-4) for i in range(1, 6)]


def test_again_changes_nothing_and_says_what_the_lock_says(project: Path) -> None:
    before = {run.info.run_id: run.info.end_time for e in (EDITS, TUNINGS) for run in rows(e)}
    change("learning_rate: 1.0e-4", "learning_rate: 5.0e-5")  # not run yet: not true yet
    assert str(record(load())) == "MLflow: 2 edits, 2 tunings"
    assert before == {run.info.run_id: run.info.end_time for e in (EDITS, TUNINGS) for run in rows(e)}


def test_another_configuration_is_another_row(project: Path) -> None:
    change("guidance_scale: 3.0", "guidance_scale: 7.5")
    dvc("repro", "edit@cat--dog", "-s")
    assert str(record(load())).startswith("MLflow: 1 edits, 2 tunings; 1 left out: made from what has changed since")
    dvc("repro", "evaluate@cat--dog", "-s")
    assert str(record(load())) == "MLflow: 2 edits, 2 tunings (1 new)"
    found = [run for run in rows(EDITS) if run.info.run_name == "cat--dog"]
    assert [run.data.params["edit.guidance_scale"] for run in found] == ["7.5", "3.0"]


def test_another_way_to_compute_is_another_row(project: Path) -> None:
    """As far as it changes what is made. DVC has the rest of `compute` on no record."""
    change("token_merging: 0.0", "token_merging: 0.5")
    change("memory: auto", "memory: 12gb")
    dvc("repro", "evaluate@cat--dog")
    record(load())
    found = [run.data.params for run in rows(EDITS) if run.info.run_name == "cat--dog"]
    assert [one["compute.token_merging"] for one in found] == ["0.5", "0.0"]


def test_evaluated_once_more_is_the_same_row(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = row(EDITS, "car--panda")
    monkeypatch.setenv("CONSISTENCY", "0.95")
    dvc("repro", "evaluate@car--panda", "-s", "-f")
    assert str(record(load())) == "MLflow: 2 edits, 2 tunings (1 updated)"
    after = row(EDITS, "car--panda")
    assert (after.info.run_id, len(rows(EDITS))) == (before.info.run_id, 2)
    assert (before.data.metrics["frame_consistency"], after.data.metrics["frame_consistency"]) == (0.9, 0.95)
    assert history(after) == history(before)


def test_another_curve_takes_the_place_of_the_old_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_LOSS", "2")
    dvc("repro", "tune@cat", "-s", "-f")
    assert str(record(load())).startswith("MLflow: 1 edits, 2 tunings (1 updated); 1 left out")
    assert history(row(TUNINGS, "cat")) == [(i, 2 / i) for i in range(1, 6)]


def test_what_is_not_here_is_left_out_and_brought_in_later(project: Path) -> None:
    for run in rows(EDITS) + rows(TUNINGS):
        MlflowClient(address()).delete_run(run.info.run_id)
    shutil.rmtree("artifacts/evaluate/car--panda")
    Path("artifacts/tune/cat/loss.csv").write_text("step,loss,lr,grad_norm,seconds\n1,9,9,9,9\n")
    said = "MLflow: 0 edits, 1 tunings (1 new); 3 left out: the files aren't those of dvc.lock"
    assert str(record(load())).startswith(said)
    dvc("checkout", "-f")
    assert str(record(load())) == "MLflow: 2 edits, 2 tunings (3 new)"


def test_processes_at_once_on_a_fresh_store_double_nothing(project: Path) -> None:
    Path("mlflow.db").unlink()
    code = "from tav.params import load; from tav.record.tracking import record; print(record(load()))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) for _ in range(2)]
    said = sorted(process.communicate()[0] for process in both)
    assert said == ["MLflow: 2 edits, 2 tunings\n", "MLflow: 2 edits, 2 tunings (4 new)\n"]
    assert (len(rows(EDITS)), len(rows(TUNINGS))) == (2, 2)


def test_no_lock_no_mlflow(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS)
    code = """
import sys, tav.record.live; from tav.params import load; from tav.record.tracking import record
print(record(load())); sys.exit("mlflow" in sys.modules or "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("MLflow: 0 edits, 0 tunings\n", 0), done.stderr


def test_a_folder_has_the_hash_that_dvc_gives_it(made: Path) -> None:
    lock = (made / "dvc.lock").read_text()
    for path in ("sd", "car.mp4", "artifacts/edit/car--panda/frames"):
        assert f"path: {path}\n      hash: md5\n      md5: {md5_of(made / path)}\n" in lock


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
    with pytest.raises(UserError, match=r"^MLflow at http://127.0.0.1:9 can't be used .*: run `tav record` later$"):
        record(load())
    assert time.monotonic() - start < 60  # MLflow's own patience is 245 s a call
    said = [line for line in capfd.readouterr().err.splitlines() if line]
    assert len(said) == 1
    assert said[0].startswith("MLflow: the loss isn't logged live (")


def test_the_ui_says_why_it_can_not_start(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="nothing is recorded yet"):
        serve()
    monkeypatch.chdir(made)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"^port {port} is taken: run `tav ui --port {port + 1}`$"):
            serve(port)
