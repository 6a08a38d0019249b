import json
from pathlib import Path

import pytest

from flows.remote import page


def test_the_edits_are_shown_with_their_metrics(fresh_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = json.loads(Path("params.yaml").read_text())
    params["edits"] = {"a--dog": {"video": "a", "prompt": "a dog"}, "b--cow": {"video": "b", "prompt": "a cow"}}
    Path("params.yaml").write_text(json.dumps(params))
    measured = Path("artifacts/evaluate/a--dog/metrics.json")
    measured.parent.mkdir(parents=True)
    measured.write_text(json.dumps({"edit": {"textual_alignment": 27.125}, "source": {}}))
    (row,) = page.edit_rows()
    assert row == {"edit": "a--dog", "video": "a", "prompt": "a dog", "Textual alignment": "27.12"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:pass@mlflow.org")
    assert "pass@" not in page._where()
