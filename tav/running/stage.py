"""A stage as it runs: alone in its folder, guarded against edits under it, with its bar. A tuning is logged live."""

import importlib
import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from tav.artifacts import artifact, write_json
from tav.params import Params, load
from tav.recipe import number_of
from tav.running.alone import alone
from tav.running.aside import ASIDE, put_aside
from tav.running.bar import bar
from tav.running.gpu import alone_on_gpu
from tav.running.guard import guard
from tav.running.weights import pinned
from tav.settings import FILE, STAGES, settings_of

if TYPE_CHECKING:
    from tav.stages import OnProgress, Progress


def run_stage(stage: str, key: str = "") -> None:
    """Run one stage of the project in the current folder. key: of its video or edit; "" for a stage that has none.

    Raises UserError: no project, no such key, the stage runs already, what it reads was changed while it ran.
    """
    name = f"{stage}@{key}" if key else stage
    with alone(stage, key), alone_on_gpu(stage):
        if stage == "report" and (gone := put_aside(load())):
            print(f"put aside in {ASIDE}, as params.yaml has them no more: {', '.join(gone)}", flush=True)
        with guard(stage, key) as guarded:  # all that the stage reads it reads in here
            number_of(stage)
            params, module = load(), importlib.import_module(f"tav.stages.{stage}")
            params = pinned(params, guarded.weights)
            with _log(params, stage, key) as log, bar(name) as draw:

                def on_progress(progress: "Progress") -> None:
                    draw(progress)
                    log(progress)
                    guarded.look(now=progress.done == progress.total)

                module.run(params, key, on_progress)
            if stage in STAGES:
                settings = settings_of(params, stage, key) | {"device": _device(params, stage, key)}
                write_json(artifact(stage, key, FILE), settings)
        if stage == "tune":  # not before it is sure that its results count
            module.forget_checkpoints(key)


def _log(params: Params, stage: str, key: str) -> "AbstractContextManager[OnProgress]":
    if stage != "tune" or os.environ.get("TAV_TRACKING") == "off":
        return nullcontext(lambda progress: None)
    from tav.record.live import live_tuning

    return live_tuning(params, key)


def _device(params: Params, stage: str, key: str) -> str:
    """Where the stage computed: the CPU where no network ran."""
    given = stage == "caption" and params.video(key).caption is not None
    drawn = stage == "condition" and not {"depth", "pose"} & set(params.condition.kinds)
    if stage == "extract" or given or drawn:
        return "cpu"
    from tav.model.device import best_device

    return str(best_device())
