import pytest

from flows import schedule
from flows.dag import Meta, Stage
from flows.schedule import Machine, Schedule, Share


def stage(name: str, *upstream: str, changed: str = "x", pool: str = "cpu") -> Stage:
    return Stage(name=name, upstream=frozenset(upstream), changed=changed, meta=Meta.model_validate({"pool": pool}))


TWO_VIDEOS = [
    stage("tune@a"),
    stage("tune@b"),
    stage("edit@a", "tune@a"),
    stage("edit@b", "tune@b"),
    stage("report", "edit@a", "edit@b"),
]


def started(run: Schedule) -> dict[str, Share]:
    return {stage.name: share for stage, share in run.start()}


def test_a_stage_starts_when_what_it_needs_is_made() -> None:
    run = Schedule(TWO_VIDEOS, Machine(8))
    assert set(started(run)) == {"tune@a", "tune@b"}
    assert started(run) == {}
    run.ended("tune@b")
    assert set(started(run)) == {"edit@b"}
    run.ended("edit@b")
    run.ended("tune@a")
    assert set(started(run)) == {"edit@a"}
    run.ended("edit@a")
    assert started(run) == {"report": Share(8, None)}
    run.ended("report")
    assert run.over
    assert run.summary() == "made 5 stages: tune@b, edit@b, tune@a, edit@a, report"


def test_what_did_not_change_is_not_said_to_be_made() -> None:
    """`maybe` stages are asked of DVC: a new edit makes three stages, and touches no tuning."""
    run = Schedule(TWO_VIDEOS, Machine(8))
    while not run.over:
        for name in started(run):
            run.ended(name, changed=name in ("edit@b", "report"))
    assert run.summary() == "made 2 stages: edit@b, report; 3 did not change"
    run.made.clear()
    assert run.summary() == "3 did not change"


def test_what_needs_a_failed_stage_is_left_out_and_the_rest_goes_on() -> None:
    run = Schedule(TWO_VIDEOS, Machine(8))
    started(run)
    run.ended("tune@a", "exited with 1: no")
    assert [stage.name for stage in run.leave_out()] == ["edit@a", "report"]
    assert not run.leave_out()
    run.ended("tune@b")
    assert set(started(run)) == {"edit@b"}
    run.ended("edit@b")
    assert run.over
    assert run.summary() == "failed: tune@a exited with 1: no. Left out, as they need it: edit@a, report"


def test_what_is_up_to_date_does_not_run() -> None:
    fresh = [stage("tune@a", changed=""), stage("edit@a", "tune@a"), stage("report", "edit@a", changed="")]
    run = Schedule(fresh, Machine(8))
    assert set(started(run)) == {"edit@a"}
    run.ended("edit@a")
    assert set(started(run)) == {"report"}  # maybe: DVC decides now


@pytest.mark.parametrize(
    ("cores", "jobs", "ready", "threads"),
    [
        (2, None, 1, [2]),
        (2, None, 2, [1, 1]),
        (2, None, 3, [1, 1]),
        (8, None, 3, [3, 3, 2]),
        (8, 2, 3, [4, 4]),
        (1, 9, 2, [1]),
    ],
)
def test_ready_stages_share_the_cores(cores: int, jobs: int | None, ready: int, threads: list[int]) -> None:
    machine = Machine(cores, jobs=jobs)
    lent = machine.lend([stage(f"tune@{i}", pool="gpu") for i in range(ready)])
    assert [share.threads for _, share in lent] == threads
    if machine.free_cores == 0 or not machine.free_places:
        assert machine.lend([stage("late")]) == []
    for _, share in lent:
        machine.take_back(share)
    assert machine.lend([stage("late")])[0][1] == Share(cores, None)


def test_a_gpu_has_one_stage_at_a_time() -> None:
    machine = Machine(8, gpus=["GPU-x", "GPU-y"])
    stages = [stage("tune@a", pool="gpu"), stage("tune@b", pool="gpu"), stage("tune@c", pool="gpu"), stage("extract@d")]
    lent = {stage.name: share for stage, share in machine.lend(stages)}
    assert {name: share.gpu for name, share in lent.items()} == {
        "tune@a": "GPU-x",
        "tune@b": "GPU-y",
        "extract@d": None,
    }
    machine.take_back(lent["tune@a"])
    assert [share.gpu for _, share in machine.lend(stages[2:3])] == ["GPU-x"]


def test_the_visible_gpus_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    assert schedule.this_machine().free_gpus == ["1", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert schedule.this_machine().free_gpus == []
    assert schedule.this_machine().free_cores >= 1


@pytest.mark.parametrize(
    ("asked", "lent"), [("cuda:1", ["3"]), ("cuda:0", ["1"]), ("cuda", ["1", "3"]), ("cpu", []), ("cuda:7", [])]
)
def test_tav_device_says_which_gpus_are_lent(asked: str, lent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    monkeypatch.setenv("TAV_DEVICE", asked)
    assert schedule.this_machine().free_gpus == lent
