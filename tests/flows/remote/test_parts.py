from flows.dag import Meta, Stage
from flows.remote.parts import shared, split


def stage(name: str, *upstream: str, changed: str = "new", pool: str = "cpu") -> Stage:
    return Stage(name=name, upstream=frozenset(upstream), changed=changed, meta=Meta(pool=pool))  # type: ignore[arg-type]


def test_a_part_is_a_video_with_its_edits() -> None:
    stages = [
        stage("base.dvc", changed=""),
        stage("a.mp4.dvc", changed=""),
        stage("extract@a", "a.mp4.dvc"),
        stage("tune@a", "extract@a", "base.dvc", pool="gpu"),
        stage("extract@b", changed=""),
        stage("tune@b", "extract@b", "base.dvc", changed="", pool="gpu"),
        stage("edit@a--x", "extract@a", "tune@a"),
        stage("edit@b--y", "tune@b", "extract@b"),
        stage("extract@c"),
        stage("report", "edit@a--x", "edit@b--y"),
    ]
    parts, here = split(stages)
    assert [(part.name, part.stages, part.pool) for part in parts] == [
        ("a", ["extract@a", "tune@a", "edit@a--x"], "gpu"),
        ("b", ["edit@b--y"], "cpu"),
        ("c", ["extract@c"], "cpu"),
    ]
    assert [stage.name for stage in here] == ["report"]


def test_what_may_change_is_a_part_too_and_what_needs_the_whole_stays_here() -> None:
    stages = [
        stage("one@a"),
        stage("two@a", "one@a", changed=""),
        stage("whole", "two@a", changed=""),
        stage("last@z", "whole", changed=""),
    ]
    parts, here = split(stages)
    assert [part.stages for part in parts] == [["one@a", "two@a"]]
    assert [stage.name for stage in here] == ["whole", "last@z"]


def test_what_all_videos_need_ties_none_of_them_together() -> None:
    stages = [
        stage("models/sd.dvc", changed=""),
        stage("model", "models/sd.dvc"),
        stage("tune@a", "model"),
        stage("tune@b", "model"),
        stage("report", "tune@a", "tune@b"),
    ]
    assert shared(stages) == {"model"}
    parts, here = split(stages)
    assert [part.stages for part in parts] == [["tune@a"], ["tune@b"]]
    assert [stage.name for stage in here] == ["report"]


def test_stages_that_meet_later_are_one_part_and_no_two_have_one_name() -> None:
    tied = [stage("one@a"), stage("one@b"), stage("two@c", "one@a", "one@b")]
    assert [(part.name, part.stages) for part in split(tied)[0]] == [("a", ["one@a", "one@b", "two@c"])]
    apart = [stage("one@a"), stage("two@a")]
    assert [(part.name, part.stages) for part in split(apart)[0]] == [("a", ["one@a"]), ("a.2", ["two@a"])]


def test_nothing_to_do_is_no_part() -> None:
    assert split([stage("one@a", changed=""), stage("last", "one@a", changed="")]) == ([], [])
