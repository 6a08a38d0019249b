import logging

import pytest

from flows.remote import handing_out
from flows.remote.handing_out import pools_for
from flows.remote.parts import Part, Pool

PARTS = [Part("a", ["extract@a"], "cpu"), Part("b", ["tune@b"], "gpu")]


@pytest.mark.parametrize(
    ("online", "pools", "missing"),
    [
        ({"cpu", "gpu"}, ["cpu", "gpu"], []),
        ({"gpu"}, ["gpu", "gpu"], []),
        ({"cpu"}, ["cpu", "gpu"], ["tav-gpu"]),
        (set(), ["gpu", "gpu"], ["tav-gpu"]),  # `tav worker` starts one that runs everything
    ],
)
def test_a_part_goes_where_workers_are(
    online: set[Pool],
    pools: list[Pool],
    missing: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(handing_out, "get_run_logger", lambda: logging.getLogger("run"))  # outside of a flow
    assert [part.pool for part in pools_for(PARTS, online)] == pools
    assert [record.args[0] for record in caplog.records if record.args] == missing  # type: ignore[index]
