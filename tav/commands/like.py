"""`tav add --like VIDEO.mp4`: the settings that stand in an edited video, as a video's and an edit's own."""

from pathlib import Path
from typing import Any

from tav.params import Embedded, Params, UserError, VideoEdit, parse_settings
from tav.video import text_in

Overrides = dict[str, dict[str, Any]]
"""Section (extract, tune, edit) -> what is set otherwise than in params.yaml's."""


def read_embedded(path: Path) -> Embedded:
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


def source_of(embedded: Embedded, like: Path) -> Path:
    """The video that it was made of, where this project has it. Raises UserError."""
    if not Path(embedded.path).exists():
        raise UserError(f"{like} was made of {embedded.path}, which is not here: give the video too, before --like")
    return Path(embedded.path)


def own_settings(embedded: Embedded, params: Params) -> Overrides:
    """As they are written into params.yaml: what is there already is left out."""
    overrides = {}
    for name in ("extract", "tune", "edit"):
        here = getattr(params, name).model_dump(mode="json", by_alias=True)
        there = getattr(embedded, name).model_dump(mode="json", by_alias=True)
        overrides[name] = {knob: value for knob, value in there.items() if here[knob] != value}
        if overrides[name].keys() & {"fps", "stride"}:  # one of its own replaces the section's of either kind
            rates = {knob: there[knob] for knob in ("fps", "stride") if there[knob] is not None} or {"stride": None}
            overrides[name] = {k: v for k, v in overrides[name].items() if k not in ("fps", "stride")} | rates
    known = {field.alias or name for name, field in VideoEdit.model_fields.items()}
    overrides["edit"] = {knob: value for knob, value in overrides["edit"].items() if knob in known}
    return overrides


def lines_on_differences(embedded: Embedded, params: Params, video: str) -> list[str]:
    """What made the edit otherwise than this project would, and is no video's or edit's own to set."""
    ours = params.model_dump(mode="json", by_alias=True)
    pairs: list[tuple[str, Any, Any]] = [
        (f"{section}.{knob}", value, ours[section][knob])
        for section, knobs in embedded.others.items()
        if isinstance(knobs, dict) and section in ours
        for knob, value in knobs.items()
        if knob in ours[section]
    ]
    for section, here in (("extract", params.extract_of(video)), ("tune", params.tune_of(video))):
        there = getattr(embedded, section).model_dump(mode="json", by_alias=True)
        now = here.model_dump(mode="json", by_alias=True)
        pairs += [(f"videos.{video}.{section}.{knob}", value, now[knob]) for knob, value in there.items()]
    return [f"note: {name} was {there!r} there, it is {here!r} here" for name, there, here in pairs if there != here]
