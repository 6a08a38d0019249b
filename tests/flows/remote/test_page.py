import json
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.remote import page


@pytest.mark.parametrize(
    ("state", "is_", "words"),
    [
        (State(type=StateType.SCHEDULED, name="Late"), "waits for a worker", "waits for a worker"),
        (State(type=StateType.SCHEDULED, name="AwaitingRetry", message="gone"), "waits for a worker", "gone"),
        (State(type=StateType.RUNNING), "running", "running on node-3"),
        (State(type=StateType.CANCELLING), "cancelling", "cancelling"),
        (State(type=StateType.FAILED, message="failed: tune@a"), "failed", "failed: tune@a"),
        (State(type=StateType.COMPLETED), "completed", "completed"),
    ],
)
def test_how_a_video_stands(state: State, is_: str, words: str) -> None:
    run = FlowRun(flow_id=uuid4(), name="a", state=state, labels={"tav.machine": "node-3"})
    assert (page.standing(run), page.in_words(run)) == (is_, words)


def test_last_words_are_short_where_all_is_well() -> None:
    made = State(type=StateType.COMPLETED, message="made 2 stages: tune@a, invert@a")
    failed = State(type=StateType.FAILED, message="failed: tune@a exited with 1: error: no a today")
    said = [page._last_words(FlowRun(flow_id=uuid4(), state=state)) for state in (made, failed)]
    assert said == ["made 2 stages", failed.message]


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
