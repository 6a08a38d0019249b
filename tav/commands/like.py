"""`tav add --like VIDEO.mp4`: the settings that stand in an edited video, as a video's and an edit's own."""

from pathlib import Path
from typing import Any

from tav.params import Made, Params, UserError, VideoEdit, parse_settings
from tav.video import text_in

Own = dict[str, dict[str, Any]]
"""Section (extract, tune, edit) -> what is set otherwise than in params.yaml's."""


def read_made(path: Path) -> Made:
    """What stands in an .mp4 or a .gif that tav made. Raises UserError."""
    if not path.is_file():
        raise UserError(f"no such video: {path}")
    text = text_in(path)
    if text is None:
        raise UserError(f"{path} has no settings in it: tav writes them into MP4 and GIF unless edit.metadata is false")
    try:
        return parse_settings(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def source_of(made: Made, like: Path) -> Path:
    """The video that it was made of, where this project has it. Raises UserError."""
    if not Path(made.path).exists():
        raise UserError(f"{like} was made of {made.path}, which is not here: give the video too, before --like")
    return Path(made.path)


def own_settings(made: Made, params: Params) -> Own:
    """As they are written into params.yaml: what is there already is left out."""
    own = {}
    for name in ("extract", "tune", "edit"):
        here = getattr(params, name).model_dump(mode="json", by_alias=True)
        there = getattr(made, name).model_dump(mode="json", by_alias=True)
        own[name] = {knob: value for knob, value in there.items() if here[knob] != value}
        if own[name].keys() & {"fps", "stride"}:  # one of its own replaces the section's of either kind
            rates = {knob: there[knob] for knob in ("fps", "stride") if there[knob] is not None} or {"stride": None}
            own[name] = {k: v for k, v in own[name].items() if k not in ("fps", "stride")} | rates
    known = {field.alias or name for name, field in VideoEdit.model_fields.items()}
    own["edit"] = {knob: value for knob, value in own["edit"].items() if knob in known}
    return own


def told_differences(made: Made, params: Params, video: str) -> list[str]:
    """What made the edit otherwise than this project would, and is no video's or edit's own to set."""
    ours = params.model_dump(mode="json", by_alias=True)
    pairs: list[tuple[str, Any, Any]] = [
        (f"{section}.{knob}", value, ours[section][knob])
        for section, knobs in made.others.items()
        if isinstance(knobs, dict) and section in ours
        for knob, value in knobs.items()
        if knob in ours[section]
    ]
    for section, here in (("extract", params.extract_of(video)), ("tune", params.tune_of(video))):
        there = getattr(made, section).model_dump(mode="json", by_alias=True)
        now = here.model_dump(mode="json", by_alias=True)
        pairs += [(f"videos.{video}.{section}.{knob}", value, now[knob]) for knob, value in there.items()]
    return [f"note: {name} was {there!r} there, it is {here!r} here" for name, there, here in pairs if there != here]
