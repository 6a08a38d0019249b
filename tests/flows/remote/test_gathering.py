from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.remote.gathering import KEPT, _is_old


@pytest.mark.parametrize(
    ("state", "ended", "old"),
    [(StateType.COMPLETED, True, True), (StateType.SCHEDULED, False, True), (StateType.RUNNING, False, False)],
)
def test_refs_of_a_run_stay_while_a_worker_may_need_them(state: StateType, ended: bool, old: bool) -> None:
    """A video that waits since yesterday for a worker is nobody's any more."""
    for since, expected in ((KEPT + timedelta(hours=1), old), (timedelta(hours=1), False)):
        then = datetime.now(UTC) - since
        run = FlowRun(flow_id=uuid4(), state=State(type=state), created=then, end_time=then if ended else None)
        assert _is_old(run) == expected
