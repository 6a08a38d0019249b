"""The stages as commands, which DVC types and a person never should: their results would not be in dvc.lock."""

import os
from collections.abc import Callable
from typing import Annotated

import typer

from tav.params import UserError, check_key
from tav.running.outcome import outcome

OF_A_KEY = {
    "extract": "a video's frames.",
    "caption": "the source prompt, as given or by BLIP-2.",
    "tune": "learn the video's motion. Goes on where a killed run was.",
    "invert": "DDIM-invert the video's latents.",
    "condition": "the maps of a video that edits may follow.",
    "edit": "make the edited video.",
    "evaluate": "measure an edited video.",
}
KeyArgument = Annotated[str, typer.Argument(help="A name under `videos` or `edits` of params.yaml.", metavar="KEY")]


def register(app: typer.Typer) -> None:
    """Add the stages, hidden, and the worker that holds what they have in common."""
    app.command(hidden=True)(model)
    for stage, what in OF_A_KEY.items():
        app.command(stage, hidden=True, help=f"Stage: {what}")(_command(stage))
    app.command(hidden=True)(reside)


def run_stage(stage: str, key: str = "") -> None:
    """Run a stage in this process, which ends with DVC where DVC runs it."""
    from tav.processes.ending import end_in_order, end_with_parent

    end_in_order()
    if os.environ.get("DVC_STAGE"):
        end_with_parent()
    from tav.running.stage import run_stage as run

    run(stage, key)


def model() -> None:
    """Stage: what each model is: its files' hashes, or its commit on the hub."""
    run_stage("model")


def _command(stage: str) -> Callable[[str], None]:
    def run(key: KeyArgument = "") -> None:
        run_stage(stage, _key(key))

    return run


def _key(given: str) -> str:
    """The key as given, or that of the stage which DVC runs: in dvc.yaml's commands the shell would see it."""
    key = given or os.environ.get("DVC_STAGE", "").partition("@")[2]
    if not key:
        raise UserError("no KEY was given: give a name under `videos` or `edits` of params.yaml")
    return check_key(key)


def reside(listener: int, owner: int) -> None:
    """Run the stages of one DVC, one after the other, for the commands that it starts."""
    import socket

    from tav.running.resident import reside as stay
    from tav.running.stage import run_stage as run

    stay(
        socket.socket(fileno=listener),
        owner,
        lambda stage, key: outcome(lambda: run(stage, key and check_key(key))),
    )
