"""Stage condition: frames -> the maps that controls follow (edges, depth, ...), once for a video and a kind."""

from typing import TYPE_CHECKING

from tav.artifacts import artifact, atomic, read_frames, write_frames, write_json
from tav.params import Condition, Params, user_errors
from tav.stages import OnProgress, Progress

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


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Writes a folder of PNGs for each kind that `condition.kinds` asks for, and with which settings."""
    frames, settings = read_frames(artifact("extract", key, "frames")), params.condition
    with atomic(artifact("condition", key, "maps")) as folder:
        folder.mkdir()
        for done, kind in enumerate(settings.kinds, 1):
            write_frames(folder / kind, make_maps(kind, frames, settings))
            on_progress(Progress(done, len(settings.kinds)))
        write_json(folder / "settings.json", settings.model_dump())  # so the folder is never empty


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
