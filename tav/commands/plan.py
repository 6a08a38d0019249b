"""`tav plan`: what each stage that runs the network will take, as a table on the screen."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.budget.plan import GB, Work, edit_work, machine, window_of
from tav.commands.expected import Expected, Taken
from tav.model.size import Size
from tav.params import BY_VIDEO_MODEL, Control, Extract, Params

if TYPE_CHECKING:
    from tav.video import VideoInfo


def print_plan(params: Params) -> None:
    """Print what each stage that runs the network is expected to take. Loads no weights, runs nothing."""
    from rich.console import Console
    from rich.table import Table

    from tav.from_params.base import precision_of

    on = machine()
    expected = Expected(params, on)
    beside = any(edit.controls or edit.reference for edit in map(params.edit_of, params.edits))
    beside |= any(tune.control for tune in map(params.tune_of, params.videos))
    table = Table(title=f"On {on.device} with {on.memory / GB:.1f} GB, {precision_of(params.compute, on.device)}")
    for name in ("stage", "frames", "size", "memory", "saved by", "time"):
        table.add_column(name, justify="right" if name in {"frames", "memory", "time"} else "left")
    total, left_out = 0.0, ""
    for work in works(params, expected.shapes if beside else None):
        cells = [f"{work.stage}@{work.key}", str(work.num_frames), f"{work.size.width}x{work.size.height}"]
        taken = expected.of(work)
        if taken.memory is None:
            table.add_row(*cells, "too much", taken.saved_by, "")
            left_out = ", without what is too much"
            continue
        time = seconds(params, work, taken) + _of_pictures(params, work, expected)
        total += time
        table.add_row(*cells, f"{taken.memory / GB:.1f} GB", taken.saved_by, _clock(time))
    expected.keep()
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
    console.print(f"In all about {_clock(total)} of computing, one after the other{left_out}.")


def works(params: Params, shapes: Any) -> Iterator[Work]:
    """Of each video and edit of params.yaml, at the size that extract would give it.

    shapes: from `load_shapes`; None will do where there is no control and no reference.
    """
    from tav.from_params.controls import control_shapes, reference_shapes
    from tav.video import fitted_size, probe

    @cache  # what has the same controls is alike
    def networks_of(controls: tuple[Control, ...]) -> tuple[Any, ...]:
        return control_shapes(controls, shapes)

    edits: dict[str, list[str]] = {key: [] for key in params.videos}
    for name, edit in params.edits.items():
        edits[edit.video].append(name)
    for key, video in params.videos.items():
        extract, info = params.extract_of(key), probe(Path(video.path))
        width, height = fitted_size(info.width, info.height, extract.size)
        size = Size(height, width)
        num_frames = extract.num_frames or _all_frames(extract, info)
        control = params.tune_of(key).control
        yield Work("tune", key, num_frames, size, networks=networks_of((control,) if control else ()))
        yield Work("invert", key, num_frames, size)
        for name in edits[key]:
            settings = params.edit_of(name)
            if settings.method not in BY_VIDEO_MODEL:  # whose networks it doesn't know
                beside = networks_of(settings.controls)
                yield edit_work(params, name, num_frames, size, beside, reference_shapes(settings, shapes))


def _all_frames(extract: Extract, info: "VideoInfo") -> int:
    """How many frames of a video there are from `start` on, at the rate asked for; about."""
    later = (info.num_frames or 1) - extract.start * info.fps
    step = info.fps / extract.fps if extract.fps else extract.stride or 1
    return max(1, math.ceil(later / step))


def seconds(params: Params, work: Work, expected: Taken) -> float:
    """Of computing: loading and start-up come on top."""
    steps, vae = params.invert.num_inference_steps, expected.frame_seconds * work.num_frames
    if work.stage == "tune":
        return params.tune_of(work.key).steps * expected.step_seconds + vae
    step = windows(params, work) * expected.step_seconds
    if work.stage == "invert":  # there, back, and back from half way
        return (2.5 + params.invert.refine) * steps * step + 3 * vae
    return params.edit_of(work.key).strength * steps * step + vae


def _of_pictures(params: Params, work: Work, expected: Expected) -> float:
    """Seconds in which the base draws what a tuning goes on drawing right."""
    asked = params.tune_of(work.key).prior_pictures if work.stage == "tune" else None
    if asked is None or asked.folder:
        return 0.0
    picture, calls = expected.of(replace(work, stage="invert", num_frames=1)), 1 if asked.guidance_scale == 1 else 2
    return asked.number * (calls * asked.steps * picture.step_seconds + 2 * picture.frame_seconds)


def windows(params: Params, work: Work) -> int:
    """How many an inversion or an edit takes for a step."""
    window = window_of(params, work)
    if window is None:
        return 1
    from tav.model.windows import windows_of

    return len(windows_of(work.num_frames, window.frames, window.overlap))


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
