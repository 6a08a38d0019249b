"""Which stages go to workers: a part for each video, its edits after its tuning. Pure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from flows.dag import Stage, needs

Pool = Literal["cpu", "gpu"]


class Part(NamedTuple):
    """Stages that one worker makes: those of a video that depend on each other."""

    name: str
    """As its first stage's key: `red-car`."""
    stages: list[str]
    """To make, what a stage needs before it."""
    pool: Pool
    """gpu when one of them needs a GPU."""


def split(stages: Sequence[Stage]) -> tuple[list[Part], list[Stage]]:
    """The parts for workers, and the stages that are made here: those of no video (`report`), and what needs them.

    stages: as `dag.read` orders them. What is up to date is in neither, but ties its video's stages together.
    """
    need = needs(stages)
    here = _of_no_video(stages)
    apart = here | {stage.name for stage in stages if is_tracked(stage.name)} | shared(stages)
    groups = _tied([stage for stage in stages if stage.name not in apart])
    parts = []
    for name, group in groups.items():
        make = [stage for stage in group if need[stage.name] != "up to date"]
        if make:
            on_gpu = any(stage.meta.pool == "gpu" for stage in make)
            parts.append(Part(name, [stage.name for stage in make], "gpu" if on_gpu else "cpu"))
    return parts, [stage for stage in stages if stage.name in here and need[stage.name] != "up to date"]


def is_tracked(name: str) -> bool:
    """Whether this is a file that DVC tracks, not a stage of dvc.yaml."""
    return name.endswith(".dvc")


def shared(stages: Sequence[Stage]) -> set[str]:
    """Stages of no video that videos need, made here before anything is handed out: `model`."""
    names: set[str] = set()
    for stage in stages:
        if "@" not in stage.name and all(is_tracked(name) or name in names for name in stage.upstream):
            names |= {stage.name} if not is_tracked(stage.name) else set()
    needed = {name for stage in stages for name in stage.upstream}
    return names & needed


def _of_no_video(stages: Sequence[Stage]) -> set[str]:
    """Stages without a key, and all that need one of them; not those that are shared."""
    names: set[str] = set()
    first = shared(stages)
    for stage in stages:
        named = "@" in stage.name or is_tracked(stage.name) or stage.name in first
        if not is_tracked(stage.name) and (not named or stage.upstream & names):
            names.add(stage.name)
    return names


def _tied(stages: Sequence[Stage]) -> dict[str, list[Stage]]:
    """Stages that depend on each other, together. Name: the key of the first, with a number where it is taken."""
    group_of: dict[str, list[Stage]] = {}
    for stage in stages:  # what a stage needs comes before it
        mine = [stage]
        for before in sorted(stage.upstream & group_of.keys()):
            other = group_of[before]
            if other is not mine:
                mine = other + mine
                group_of.update(dict.fromkeys((one.name for one in mine), mine))
        group_of[stage.name] = mine
    order = {stage.name: index for index, stage in enumerate(stages)}
    distinct = {id(group): sorted(group, key=lambda one: order[one.name]) for group in group_of.values()}
    named: dict[str, list[Stage]] = {}
    for group in sorted(distinct.values(), key=lambda group: order[group[0].name]):
        key = group[0].name.partition("@")[2]
        same = sum(name.partition(".")[0] == key for name in named)
        named[f"{key}.{same + 1}" if same else key] = group  # a key holds no dot
    return named
