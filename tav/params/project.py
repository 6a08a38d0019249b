"""The whole of params.yaml: the videos, the edits, and what each has of its own over the sections."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import Field

from tav.complaints import UserError, nearest, quoted
from tav.params.controls import Condition
from tav.params.editing import BY_VIDEO_MODEL, Edit
from tav.params.evaluating import Evaluate
from tav.params.keys import Key
from tav.params.sections import (
    Base,
    Caption,
    Compute,
    Extract,
    Invert,
    Model,
    Section,
    Text,
    Words,
)
from tav.params.tuning import Tune

V = TypeVar("V")
S = TypeVar("S", bound=Section)


class Video(Section):
    """A video to tune on."""

    path: Text
    """A video file or a folder of images. Relative to the project."""
    caption: Text | None
    """null: BLIP-2 writes it."""
    extract: dict[str, Any]
    """What this video has of its own, over the section of the same name. {} when nothing."""
    tune: dict[str, Any]
    """As `extract`, for tuning."""
    variant_of: Key | None = None
    """Another video, of which this is a variant: the same footage and caption, tuned otherwise."""


class VideoEdit(Section):
    """An edit. What it sets of its own lies over the section `edit`."""

    video: Key
    """Which video: a name under `videos`."""
    prompt: Text
    """What the edited video shall show."""
    kind: Text | None = None
    """A word for what is edited, as in style, object, background: `tav compare` has a row for each. Changes nothing."""
    variant: Text | None = None
    """A name for what is other than in the default edit: `tav compare --by variant` has a row for each."""
    method: str | None = None
    video_model: dict[str, Any] | None = None
    guidance_scale: float | None = None
    negative_prompt: Words | None = None
    seed: int | None = None
    strength: float | None = None
    start_from: str | None = Field(default=None, alias="from")
    output_size: str | None = None
    scheduler: str | None = None
    steps: int | None = None
    eta: float | None = None
    loras: list[Any] | None = None
    window: dict[str, Any] | None = None
    controls: list[Any] | None = None
    first_frame: str | None = None
    reference: dict[str, Any] | None = None
    mask: dict[str, Any] | None = None
    attention: dict[str, Any] | None = None
    metadata: bool | None = None


NOT_OF_SECTION = {"video", "prompt", "kind", "variant"}
"""What an edit has that the section `edit` has not."""


class Params(Section):
    """The whole of params.yaml. The `*_of` methods put a video's or an edit's own settings over the section."""

    videos: dict[Key, Video]
    """The videos, by name."""
    edits: dict[Key, VideoEdit]
    """The edits, by name."""
    base: Base
    compute: Compute
    extract: Extract
    caption: Caption
    tune: Tune
    invert: Invert
    condition: Condition = Condition()
    edit: Edit
    evaluate: Evaluate

    def sources(self) -> dict[str, list[str]]:
        """The places that each model is read from, by its name in artifacts/models; none of one that is not set."""
        base, maps, seen = self.base, self.condition, self.evaluate
        edits = [self.edit, *map(self.edit_of, self.edits)]
        beside = [part for edit in edits for part in (*(control.model for control in edit.controls), *edit.loras)]
        videos = [section.video_model for section in edits if section.method in BY_VIDEO_MODEL]
        references = [section.reference for section in edits if section.reference]
        trackers = [section.mask.tracker for section in edits if section.mask]
        tunings = [self.tune, *map(self.tune_of, self.videos)]
        in_tuning = [tuning.control.model for tuning in tunings if tuning.control]
        models: dict[str, Sequence[Model | None]] = {
            "blip2": [self.caption.model],
            "clip": [seen.clip],
            "condition": [maps.depth, maps.pose, maps.person],
            "controls": [*beside, *videos, *(reference.model for reference in references), *trackers, *in_tuning],
            "pick_score": [seen.pick_score, seen.dino, seen.aesthetic, seen.lpips],  # all that measure beside CLIP
        }
        sources = {name: list(dict.fromkeys(m.source for m in listed if m)) for name, listed in models.items()}
        sources["controls"] += dict.fromkeys(reference.picture for reference in references)
        of_base = [base.source, base.config, *(lora.source for lora in base.loras)]
        priors = [section.prior_pictures for section in (self.tune, *map(self.tune_of, self.videos))]
        of_base += dict.fromkeys(prior.folder for prior in priors if prior)  # with what a tuning starts from
        return {"base": list(filter(None, of_base))} | sources

    def video(self, key: str) -> Video:
        return _known(self.videos, key, "video")

    def video_edit(self, key: str) -> VideoEdit:
        return _known(self.edits, key, "edit")

    def footage_of(self, video: str) -> str:
        """The video that a variant is one of; a video itself where it is none."""
        return self.video(video).variant_of or video

    def extract_of(self, video: str) -> Extract:
        return _over(self.extract, self.video(video).extract)

    def tune_of(self, video: str) -> Tune:
        return _over(self.tune, self.video(video).tune)

    def edit_of(self, edit: str) -> Edit:
        overrides = self.video_edit(edit).model_dump(exclude=NOT_OF_SECTION, exclude_none=True, by_alias=True)
        return _over(self.edit, overrides)


def _over(section: S, overrides: dict[str, Any]) -> S:
    return type(section).model_validate(merged(section.model_dump(by_alias=True), overrides))


def merged(section: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    rate = (
        {"fps", "stride"} if {"fps", "stride"} & overrides.keys() else set()
    )  # its own rate replaces one of either kind
    return {**{k: v for k, v in section.items() if k not in rate}, **overrides}


def _known(named: dict[str, V], key: str, kind: str) -> V:
    if key not in named:
        raise UserError(f"params.yaml has no {kind} {quoted(key)}{nearest(key, named)}")
    return named[key]
