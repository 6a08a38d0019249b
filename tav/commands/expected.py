"""What work of each shape is expected to take: asked of the network once a day, and kept in the project.

The next plan then needs no PyTorch.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tav.artifacts import write_json
from tav.budget.plan import Machine, TooMuch, Work, choose, window_of
from tav.from_params.loaded_base import made_from
from tav.model.holding import files_of
from tav.params import Params, user_errors

if TYPE_CHECKING:
    from tav.budget.meter import Speed

KEPT = Path(".dvc/tmp/tav/expected.json")
"""In DVC's folder for what no commit has."""
PACKAGES = ("torch", "diffusers", "transformers")


class Taken(NamedTuple):
    """What one step of a stage is expected to take."""

    saved_by: str
    """What is given up for memory; what to do, where it is too much."""
    memory: float | None
    """Bytes. None: too much."""
    step_seconds: float
    frame_seconds: float


class Expected:
    """Of one machine and one params.yaml."""

    def __init__(self, params: Params, on: Machine) -> None:
        self.params, self.on = params, on
        self._known: dict[Work, Taken] = {}
        self._mark = _mark(params, on)
        self._kept: dict[str, Taken] = {}
        self._new = False
        with suppress(OSError, ValueError, TypeError, KeyError):
            kept = json.loads(KEPT.read_text(encoding="utf-8"))
            if kept["mark"] == self._mark:
                self._kept = {shape: Taken(*taken) for shape, taken in kept["known"].items()}

    def of(self, work: Work) -> Taken:
        alike = replace(work, key=_own_settings(self.params, work))
        if work.networks or work.adapter:  # these have no name to be kept by
            return self._known.get(alike) or self._known.setdefault(alike, self._ask(work))
        shape = repr(alike)
        if shape not in self._kept:
            self._kept[shape], self._new = self._ask(work), True
        return self._kept[shape]

    def keep(self) -> None:
        """For the next plan. Not where no project is, or where it can't be written."""
        if self._new and KEPT.parents[1].is_dir():
            with suppress(OSError):
                write_json(KEPT, {"mark": self._mark, "known": self._kept})

    def _ask(self, work: Work) -> Taken:
        try:
            savings, expected = choose(self.params, work, self.shapes, self.on, self._speed)
        except TooMuch as error:
            return Taken(error.advice, None, 0, 0)
        memory = expected.memory(self.on.device)
        return Taken(str(savings), memory, expected.step_seconds, expected.frame_seconds)

    @cached_property
    def shapes(self) -> Any:
        """The base without its weights."""
        from tav.model.pretrained import load_shapes

        base = self.params.base
        with user_errors():
            return load_shapes(base.place, revision=base.revision, config=base.config)

    @cached_property
    def _speed(self) -> "Speed":
        from tav.budget.meter import measure_speed
        from tav.from_params.base import dtype_of

        return measure_speed(self.on.device, dtype_of(self.params.compute, self.on.device))


def _mark(params: Params, on: Machine) -> str:
    """A hash of all that an expectation goes by, but for the work's shape. Its day: a machine may have been busy."""
    code = Path(__file__).parents[1]
    asked = params.model_dump_json(exclude={"videos", "edits"}), made_from(params.base), on
    ours = files_of(str(code / "budget"), str(code / "model"), str(code / "from_params"))
    packages = [version(name) for name in PACKAGES]
    return hashlib.sha256(repr((asked, ours, packages, date.today().isoformat())).encode()).hexdigest()


def _own_settings(params: Params, work: Work) -> str:
    """Settings of its own that change what a stage is expected to take."""
    if work.stage != "tune":
        return str(window_of(params, work))
    counted = {"gradient_checkpointing", "official_checkpointing", "window_frames", "prior_weight", "prior_pictures"}
    return str(params.tune_of(work.key).model_dump(include=counted))
