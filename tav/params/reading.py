"""params.yaml, read and checked: all that is wrong with it is told at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tav.complaints import UserError, complaints, dotted, listed, nearest, one_line, quoted
from tav.params.editing import ON_TUNED, Edit
from tav.params.keys import is_key
from tav.params.project import NOT_OF_SECTION, Params, merged
from tav.params.sections import Extract, Invert, Section
from tav.params.tuning import Tune


@contextmanager
def user_errors() -> Iterator[None]:
    """What the model's code refuses, as an error for the person."""
    try:
        yield
    except (ValueError, TypeError, FileNotFoundError, FloatingPointError) as error:
        raise UserError(one_line(str(error))) from error


def read_yaml(path: Path) -> Any:
    """A YAML 1.2 file as plain data. Raises UserError."""
    from tav.yaml_files import read  # ruamel takes its time

    return read(path)


def read_quickly(path: Path) -> Any:
    """As `read_yaml`, of a large file that a program wrote."""
    from tav.yaml_files import read_quickly as read

    return read(path)


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml. Raises UserError with all that is wrong."""
    return check(read_yaml(path), path.name)


def check(data: Any, name: str = "params.yaml") -> Params:
    """Check what a params.yaml holds. Raises UserError with all that is wrong."""
    if data is None:
        raise UserError(f"{name} is empty: bring it back from git, or make a new project with `tav init`")
    wrong = []
    try:
        params = Params.model_validate(data)
    except ValidationError as error:
        wrong = complaints(error, Params)
    if isinstance(data, dict):
        wrong += _complaints_about_own_settings(data)
    wrong = wrong or _missing_maps(params) + _clashes(params)
    if wrong:
        raise UserError(f"{name}: {listed(list(dict.fromkeys(wrong)), '; ')}")
    return params


def _complaints_about_own_settings(data: dict[str, Any]) -> list[str]:
    """What is wrong with a video's or an edit's own settings over a section, and with the video that an edit names."""
    videos, edits = _tables(data, "videos"), _tables(data, "edits")
    overrides = [
        (dotted("videos", k, part), part, v.get(part)) for k, v in videos.items() for part in ("extract", "tune")
    ]
    overrides += [
        (dotted("edits", k), "edit", {n: x for n, x in e.items() if n not in NOT_OF_SECTION}) for k, e in edits.items()
    ]
    lines = []
    kinds: dict[str, type[Section]] = {"extract": Extract, "tune": Tune, "edit": Edit}
    for place, part, settings in overrides:
        section = data.get(part)
        if settings and isinstance(settings, dict):
            try:
                kinds[part].model_validate(merged(section if isinstance(section, dict) else {}, settings))
            except ValidationError as error:
                lines += complaints(error, kinds[part], place, only=settings)
    for key, video_entry in videos.items():
        footage = video_entry.get("variant_of")
        if isinstance(footage, str) and (footage not in videos or videos[footage].get("variant_of")):
            lines.append(
                f"{dotted('videos', key, 'variant_of')}: expected a video that is no variant, got {quoted(footage)}"
            )
    for key, edit in edits.items():
        video = edit.get("video")
        if isinstance(video, str) and is_key(video) and video not in videos:
            lines.append(f"{dotted('edits', key, 'video')}: there is no video {quoted(video)}{nearest(video, videos)}")
    return lines


def _missing_maps(params: Params) -> list[str]:
    """Kinds of maps that controls follow and nobody makes."""
    lines, made_kinds = [], params.condition.kinds
    for key in params.edits:
        kinds = dict.fromkeys(control.kind for control in params.edit_of(key).controls if control.kind)
        if missing := [kind for kind in kinds if kind not in made_kinds]:
            wanted = ", ".join([*made_kinds, *missing])
            lines.append(f"{dotted('edits', key)} follows {', '.join(missing)}: set condition.kinds to [{wanted}]")
    for key in params.videos:  # a tuning makes its own
        control = params.tune_of(key).control
        kind = control.kind if control else None
        if kind in ("depth", "pose") and getattr(params.condition, kind) is None:
            lines.append(f"{dotted('videos', key)} is tuned with {kind}, which needs a model: set condition.{kind}")
    return lines


def _clashes(params: Params) -> list[str]:
    """Edits with the source beside them, whose tokens are merged: its own then stand elsewhere than the edit's."""
    lines, merging = [], params.compute.token_merging
    for key in params.edits:
        edit, place = params.edit_of(key), dotted("edits", key)
        beside = "attention" if edit.attention else "method plug-and-play" if edit.method == "plug-and-play" else ""
        if beside and merging:
            lines.append(f"{place} has {beside}: set compute.token_merging ({merging}) to 0.0")
        lines += [f"{place}: {reason}" for reason in [_too_few_levels(edit, params.invert)] if reason]
    return lines


def _too_few_levels(edit: Edit, invert: Invert) -> str:
    """Why an edit in few steps does not go with the inversion. "": it does."""
    if edit.method not in ON_TUNED or (edit.steps is None and edit.scheduler == "ddim"):
        return ""
    if invert.method != "ddim" and edit.start_from == "inversion":
        return f"invert.method {invert.method} has noise for each of its steps: leave edit.steps out, or set it to ddim"
    levels = max(1, int(invert.num_inference_steps * edit.strength + 1e-6))
    if (edit.steps or 1) > levels:
        return (
            f"steps ({edit.steps}) of {levels} noise levels (invert.num_inference_steps "
            f"{invert.num_inference_steps}, strength {edit.strength}): set at most {levels}"
        )
    return ""


def _tables(data: dict[str, Any], part: str) -> dict[str, dict[str, Any]]:
    """`videos` or `edits` of a file that may be wrong: as much of it as has the right shape."""
    table = data.get(part)
    return {k: v for k, v in table.items() if isinstance(v, dict)} if isinstance(table, dict) else {}
