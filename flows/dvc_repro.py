"""DVC's `repro`, which asks of each stage by itself whether it changed: here all are asked at once. Same answers.

A stage that had not changed is asked again when something before it was made since, together with all others of which
that is so. Its files are looked at once more when it is its turn: a person may change them while stages run.
"""

from collections.abc import Collection
from typing import Any

import dvc.repo.reproduce
import dvc.stage
from dvc.lock import LockError

from flows.dvc_hash import Hashes
from flows.dvc_once import looked_at

_by_dvc = dvc.repo.reproduce._reproduce


def install() -> None:
    """Have DVC of this process do so."""
    dvc.repo.reproduce._reproduce = reproduce


def reproduce(stages: list[Any], graph: Any = None, force: bool = False, **how: Any) -> list[Any]:
    """As DVC's `_reproduce`: makes what changed, in this order, and gives it. Raises what that does."""
    if graph is None or force or len(stages) < 2:
        return _by_dvc(stages, graph=graph, force=force, **how)  # type: ignore[no-any-return]
    make = how.pop("repro_fn", dvc.repo.reproduce._reproduce_stage)
    turns = _Turns(stages, graph)

    def once(stage: Any, force: bool = False, **rest: Any) -> Any:
        if turns.take(stage) and not force:
            dvc.stage.logger.info("Stage '%s' didn't change, skipping", stage.addressing)
            return None
        turns.make(stage)  # also where it fails
        return make(stage, force=force, **rest)

    return _by_dvc(stages, graph=graph, repro_fn=once, **how)  # type: ignore[no-any-return]


class _Turns:
    """What is known of the stages whose turn has not come yet."""

    def __init__(self, stages: list[Any], graph: Any) -> None:
        self._graph, self._hashes = graph, Hashes(stages[0].repo)
        self._unchanged: dict[Any, list[str]] = {}
        """Stage -> what its files were like when it was looked at."""
        self._unsure: set[Any] = set()
        """Of these: something before them was made since."""
        self._made_one = False
        self._look(stages)

    def take(self, stage: Any) -> bool:
        """It is a stage's turn: whether it is unchanged. False also where we can't say: then DVC is to ask."""
        if stage in self._unsure:
            self._look([one for one in self._unsure if one in self._unchanged])
            self._unsure.clear()
        seen = self._unchanged.pop(stage, None)
        if seen and self._made_one:
            self._hashes.forget()
            return all(seen) and seen == self._hashes.seals(_paths(stage))
        return seen is not None

    def make(self, stage: Any) -> None:
        """It is going to be made, if DVC finds it changed."""
        self._made_one = True
        self._unsure |= set(self._graph.predecessors(stage))

    def _look(self, stages: Collection[Any]) -> None:
        self._hashes.forget()
        seen = {stage: self._hashes.seals(_paths(stage)) for stage in stages}
        try:
            changed = looked_at([(stage, None) for stage in stages], self._hashes) if stages else {}
        except LockError:  # DVC tells it when it is that stage's turn
            changed = {stage.addressing: [] for stage in stages}
        for stage in stages:
            if stage.addressing in changed or stage.frozen:
                self._unchanged.pop(stage, None)
            else:
                self._unchanged[stage] = seen[stage]


def _paths(stage: Any) -> list[str]:
    return [str(item.fs_path) for item in (*stage.deps, *stage.outs)]
