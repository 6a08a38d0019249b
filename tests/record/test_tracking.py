"""The record in a real MLflow store, of a real DVC project whose stages are quick: a script writes the artifacts."""

import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from mlflow import MlflowClient
from other_default import default
from tracked_project import PARAMS, change, dvc, history, row, rows

from tav.metrics.table import METRICS
from tav.params import Edit, load
from tav.record.provenance import md5_of
from tav.record.store import EDITS, TUNINGS, address
from tav.record.tracking import record


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
        "base.source": "models/base",
        "compute.precision": "fp32",
        "evaluate.clip.source": "models/clip",
    }
    assert expected.items() <= run.data.params.items()
    assert "compute.memory" not in run.data.params  # not in dvc.lock: it may have been another
    assert run.data.metrics == {
        "frame_consistency": 0.9,
        "source.frame_consistency": 0.8,
        "tune.seconds": 1.25,
        "tune.peak_memory_gb": 0.5,
        "invert.psnr": 20.5,
        "invert.seconds": 0.5,
        "invert.psnr_from_half": 21.5,
        "invert.vae_psnr": 22.5,
        "loss": 0.2,
    }
    assert history(run) == [(i, 1 / i) for i in range(1, 6)]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert run.data.tags["mlflow.source.git.commit"] == commit
    assert run.data.tags["mlflow.source.name"] == "dvc repro evaluate@car--panda"
    assert (run.info.status, row(EDITS, "cat--dog").data.params["edit.seed"]) == ("FINISHED", "7")
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert folder.is_relative_to(made / "mlruns")
    assert {f.name for f in folder.iterdir()} == {"video.mp4", "preview.gif", "sheet.png"}
    tuning = row(TUNINGS, "cat")
    assert "edit.seed" not in tuning.data.params
    assert history(tuning, "lr") == [(i, 1e-4) for i in range(1, 6)]


def test_a_row_has_the_duration_of_the_work_and_the_video_as_its_dataset(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    for run, told in ((row(EDITS, "car--panda"), 1250 + 500 + 250), (row(TUNINGS, "car"), 1250)):
        assert run.info.end_time - run.info.start_time == told  # by the stages, not the writing of the row
        (source,) = run.inputs.dataset_inputs
        assert (source.dataset.name, source.dataset.digest) == ("car.mp4", md5_of(Path("car.mp4")))


def test_no_secret_is_on_record(made: Path) -> None:
    """Neither in params.yaml, nor in dvc.lock, nor in what the stages made, nor in MLflow's store."""
    told_there = {made / ".git/config", made / ".dvc/config.local"}
    files = {file for file in made.rglob("*") if file.is_file()}
    assert files > told_there | {made / name for name in ("params.yaml", "dvc.lock", "mlflow.db")}
    assert {file for file in files if b"not-for-any-record" in file.read_bytes()} == told_there


def test_the_experiments_open_on_training_runs(project: Path) -> None:
    """MLflow 3 opens an experiment without this tag in its view of language models."""
    client = MlflowClient(address())
    kind, known, note = "mlflow.experimentKind", "custom_model_development", "mlflow.note.content"
    by_name = {name: client.get_experiment_by_name(name) for name in (EDITS, TUNINGS)}
    assert [found.tags[kind] for found in by_name.values()] == [known, known]
    explained = by_name[EDITS].tags[note]
    assert all(metric in explained for metric in METRICS)
    client.set_experiment_tag(by_name[EDITS].experiment_id, kind, "genai_development_inferred")  # MLflow's guess
    client.set_experiment_tag(by_name[TUNINGS].experiment_id, kind, "genai_development")  # a person's choice
    client.set_experiment_tag(by_name[EDITS].experiment_id, note, explained.partition("\n")[0])  # of an older tav
    client.set_experiment_tag(by_name[TUNINGS].experiment_id, note, "Mine.")
    record(load())
    tags = [client.get_experiment_by_name(name).tags for name in (EDITS, TUNINGS)]
    assert [(tag[kind], tag[note]) for tag in tags] == [(known, explained), ("genai_development", "Mine.")]


def test_a_row_of_an_older_tav_is_completed(project: Path) -> None:
    run = row(EDITS, "car--panda")
    MlflowClient(address()).delete_tag(run.info.run_id, "mlflow.source.name")
    assert str(record(load())) == "MLflow: 2 edits, 2 tunings (1 updated)"
    assert "mlflow.source.name" in row(EDITS, "car--panda").data.tags
    assert str(record(load())) == "MLflow: 2 edits, 2 tunings"


def test_another_default_deletes_no_row(project: Path) -> None:
    before = [run.info.run_id for run in rows(EDITS)]
    with default(Edit, "seed", 34):
        assert str(record(load())) == "MLflow: 2 edits, 2 tunings"
    assert [run.info.run_id for run in rows(EDITS)] == before
    assert row(EDITS, "car--panda").data.params["edit.seed"] == "33"


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


def test_what_params_yaml_has_no_more_is_not_asked_for(project: Path) -> None:
    """As in a clone: dvc.lock still has it, but neither `dvc checkout` nor `dvc repro` brings its files."""
    change("  car--panda: {video: car, prompt: a panda}\n", "")
    assert str(record(load())) == "MLflow: 2 edits, 2 tunings"  # the row is there
    MlflowClient(address()).delete_run(row(EDITS, "car--panda").info.run_id)
    shutil.rmtree("artifacts/edit/car--panda")
    said = "MLflow: 1 edits, 2 tunings; 1 left out: params.yaml has them no more"
    assert str(record(load())) == said


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_what_belongs_to_a_project_moves_with_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    other = tmp_path / "another place"
    (shutil.copytree if how == "copied" else shutil.move)(project, other)
    monkeypatch.chdir(other)
    before = {file for file in tmp_path.rglob("*") if project in file.parents}
    change("guidance_scale: 3.0", "guidance_scale: 7.5")
    dvc("repro", "evaluate@cat--dog")
    assert str(record(load())) == "MLflow: 2 edits, 2 tunings (1 new)"
    assert {file for file in tmp_path.rglob("*") if project in file.parents} == before
    for run in rows(EDITS) + rows(TUNINGS):
        folder = Path(unquote(run.info.artifact_uri.removeprefix("file://")))
        assert folder.is_relative_to(other / "mlruns")
        assert run.info.run_name in ("car", "cat") or (folder / "video.mp4").is_file()
    assert MlflowClient(address()).get_experiment_by_name(EDITS).artifact_location == (other / "mlruns").as_uri()


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
    for path in ("models", "car.mp4", "artifacts/edit/car--panda/frames"):
        assert f"path: {path}\n      hash: md5\n      md5: {md5_of(made / path)}\n" in lock
