"""`tav record` with nothing to tell says so at once, and only then."""

import subprocess
import sys
from pathlib import Path

from tav.artifacts import artifact
from tav.params import load
from tav.record.seen import KEPT, counts_before
from tav.record.store import EDITS, client
from tav.record.tracking import Recorded, record

CODE = """
import sys
from tav.params import load
from tav.record.tracking import record
print(record(load()))
sys.exit("mlflow" in sys.modules)
"""
ALL = "MLflow: 2 edits, 2 tunings"


def test_with_nothing_new_mlflow_is_not_asked(project: Path) -> None:
    assert counts_before(load()) is None  # it was told elsewhere
    assert str(record(load())) == ALL
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"{ALL}\n", 0), done.stderr
    experiment = client().get_experiment_by_name(EDITS)
    client().delete_run(client().search_runs([experiment.experiment_id])[0].info.run_id)
    assert str(record(load())) == f"{ALL} (1 new)"
    assert Recorded(*(counts_before(load()) or [])) == Recorded(edits=2, tunings=2)


def test_what_counts_is_looked_at(project: Path) -> None:
    record(load())
    settings = artifact("edit", "car--panda", "settings.json")
    text = settings.read_text()
    settings.unlink()
    assert counts_before(load()) is None
    assert "1 left out: the files aren't those of dvc.lock" in str(record(load()))
    settings.write_text(text)
    assert str(record(load())) == ALL
    assert counts_before(load()) is not None
    Path("dvc.lock").write_text(Path("dvc.lock").read_text() + "\n")
    assert counts_before(load()) is None
    KEPT.write_text("[]")
    assert str(record(load())) == ALL
