"""The maps that controls follow: made of the frames, or one's own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.artifacts import artifact, read_frames, read_header
from tav.params import Condition, Control, Params, UserError, user_errors

if TYPE_CHECKING:
    import numpy as np


def make_maps(kind: str, frames: "np.ndarray", settings: Condition) -> "np.ndarray":
    """Maps of one kind, uint8 (f h w 3), of the frames' size. Raises UserError: a model that is not there."""
    from tav.video import condition_maps

    match kind:
        case "canny":
            return condition_maps.canny(frames, settings.canny)
        case "lineart":
            return condition_maps.lineart(frames)
        case "scribble":
            return condition_maps.scribble(frames)
        case "luma":
            return condition_maps.luma(frames)
        case "tile":
            return condition_maps.tile(frames, settings.tile)
        case "blur":
            return condition_maps.blur(frames, settings.blur)
        case _:
            return _detected(kind, frames, settings)


def maps_of(controls: Sequence[Control], video: str, source: dict[str, Any]) -> "dict[str, np.ndarray]":
    """What each control of an edit follows, uint8 (f h w 3), by its place and name. Raises UserError.

    Args:
        controls: of the edit.
        video: its key.
        source: what extract noted: where the frames come from.
    """
    maps = {}
    for place, control in enumerate(controls, 1):
        if control.frames is not None:
            maps[f"condition {place}: {control.frames}"] = own_maps(control.frames, source)
        else:
            made = artifact("condition", video, f"maps/{control.kind}")
            maps[f"condition {place}: {control.kind}"] = read_frames(made)
    return maps


def own_maps(frames: str, source: dict[str, Any]) -> "np.ndarray":
    """Of `control.frames`, uint8 (f h w 3). source: what extract noted. Raises UserError."""
    from tav.video import read_alongside

    return read_alongside(Path(frames), source)


def tuned_under(params: Params, video: str) -> str:
    """What a video is tuned under, as JSON: the control, how its maps are made, what its models are. "": nothing.

    Raises UserError: a model that is not there.
    """
    from tav.hashes import what_is_at

    control, maps = params.tune_of(video).control, params.condition
    if control is None:
        return ""
    knobs: set[str] = {"pose", "person"} if control.kind == "pose" else {control.kind or ""}
    models = [control.model, *(getattr(maps, knob) for knob in sorted(knobs & {"depth", "pose", "person"}))]
    said = {
        "control": control.model_dump(mode="json"),
        "maps": maps.model_dump(mode="json", include=knobs),
        "models": [what_is_at(model.source) for model in models if model],
    }
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def check_tuned_under(params: Params, video: str) -> None:
    """Raises UserError: a video was tuned under other weights of a control, or other maps, than params.yaml asks for.

    DVC does not see those changes: see tav.running.weights.
    """
    weights = artifact("tune", video, "weights.safetensors")
    if read_header(weights).get("control", "") != tuned_under(params, video):
        raise UserError(
            f"{weights} was tuned with another control, or with other maps, than there are now: run "
            f"`dvc repro -f tune@{video}`, then go on"
        )


def _detected(kind: str, frames: "np.ndarray", settings: Condition) -> "np.ndarray":
    """By a network."""
    from transformers.utils.logging import disable_progress_bar

    from tav.model.detectors import depth, pose
    from tav.model.device import best_device

    disable_progress_bar()
    model = settings.depth if kind == "depth" else settings.pose
    assert model is not None  # params.yaml was checked
    with user_errors():
        device = best_device()
        if kind == "depth":
            return depth(frames, model.place, revision=model.revision, device=device)
        person = settings.person.place if settings.person else None
        return pose(frames, model.place, person, revision=model.revision, device=device)
