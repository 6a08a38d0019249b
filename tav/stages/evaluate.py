"""Edited video, source frames, prompts -> metrics.json, with the source's own values as the reference."""

from typing import TYPE_CHECKING

from tav.artifacts import artifact, read_frames, read_json, write_json
from tav.params import Params, UserError
from tav.stages import OnProgress, Progress

if TYPE_CHECKING:
    import numpy as np


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Measure what is asked for. What was measured before, of the same frames with the same model, is not again."""
    from tav.metrics.measures import Metrics, Subject, asked_of, check_finite
    from tav.metrics.memo import Memo

    edit, frames = params.video_edit(key), _frames(params, key)
    caption = read_json(artifact("caption", edit.video, "caption.json"))["caption"]
    subject = Subject(frames, edit.prompt, caption, params.evaluate, _mask(key))
    measures, memo = asked_of(subject), Memo(key)
    metrics: Metrics = {"edit": {}, "source": {}}
    for done, measure in enumerate(measures, 1):
        measured = memo.recall(measure, subject) or measure.of(subject)
        check_finite(measured)
        memo.keep(measure, subject, measured)
        for who, values in measured.items():
            metrics[who] |= values
        on_progress(Progress(done, len(measures), metrics["edit"]))
    write_json(artifact("evaluate", key, "metrics.json"), metrics)


def _frames(params: Params, key: str) -> "dict[str, np.ndarray]":
    """Of "edit" and "source", as the model made them and as it was given them. Raises UserError where they differ."""
    frames = {
        "edit": read_frames(artifact("edit", key, "frames")),
        "source": read_frames(artifact("extract", params.video_edit(key).video, "frames")),
    }
    if frames["edit"].shape != frames["source"].shape:
        got = " and ".join(f"{f.shape} ({who})" for who, f in frames.items())
        raise UserError(f"the frames of edit {key!r} and of its source differ: {got}; run `dvc repro edit@{key}`")
    return frames


def _mask(key: str) -> "np.ndarray | None":
    """Where the edit was allowed to change anything, bool (f h w); None where it has no mask."""
    folder = artifact("edit", key, "frames/mask")
    return read_frames(folder)[..., 0] > 0 if folder.exists() else None
