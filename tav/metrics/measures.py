"""What the stage `evaluate` can measure: a function for each name, from a subject to values of edit and source.

A new metric is a function in tav/metrics/formulas.py, an entry in MEASURES, and a line in tav/metrics/table.py.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tav.params import Evaluate, Model, UserError

if TYPE_CHECKING:
    import numpy as np
    import torch

Metrics = dict[str, dict[str, float]]
"""Of "edit" and "source", by name."""


@dataclass
class Subject:
    """An edit and its source, with the models that look at them: each is loaded once, when it is needed."""

    frames: "dict[str, np.ndarray]"
    """Of "edit" and "source": uint8 (f h w 3), of one shape."""
    prompt: str
    caption: str
    settings: Evaluate
    mask: "np.ndarray | None" = None
    """Where the edit was allowed to change, bool (f h w). None: everywhere."""
    loaded: dict[Any, Any] = field(default_factory=dict)

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        if name not in self.loaded:
            self.loaded[name] = make()
        return self.loaded[name]

    def model(self, knob: str) -> Model:
        """The model that a setting under `evaluate` names. Raises UserError where it names none."""
        model: Model | None = getattr(self.settings, knob)
        if model is None:
            raise UserError(f"evaluate.{knob} is null, and evaluate.metrics needs it: name a model")
        return model

    def features(self, knob: str, load: Callable[[Model], Any], look: Callable[..., Any], **how: Any) -> dict[str, Any]:
        """What a model sees in the frames of "edit" and "source"."""
        model = self.once(knob, lambda: load(self.model(knob)))
        asked = (knob, look.__name__, tuple(how.items()))
        features: dict[str, Any] = self.once(
            asked, lambda: {who: look(model, f, **how) for who, f in self.frames.items()}
        )
        return features


class Measure(NamedTuple):
    name: str
    of: Callable[[Subject], Metrics]
    knob: str = ""
    """The setting under `evaluate` that names its model; "" where it has none."""
    several: bool = False
    """It compares frames: one alone has no such value."""
    masked: bool = False
    """It looks outside of a mask: an edit without one has no such value."""


def asked_of(subject: Subject) -> list[Measure]:
    """What is to be measured: always the first three, PickScore where it has a model, and `evaluate.metrics`."""
    settings = subject.settings
    names = [n for n in ALWAYS if n != "pick_score" or settings.pick_score] + list(dict.fromkeys(settings.metrics))
    several = len(subject.frames["edit"]) > 1
    measures = [MEASURES[name] for name in names if several or not MEASURES[name].several]
    return [measure for measure in measures if subject.mask is not None or not measure.masked]


def check_finite(metrics: Metrics) -> None:
    """JSON has no NaN, and no number is better than a wrong one. Raises UserError."""
    for who, values in metrics.items():
        for name, value in values.items():
            if not math.isfinite(value):
                raise UserError(f"{name} of the {who} is {value}, not a number: its model gives broken features")


def _clip_features(subject: Subject, knob: str, **how: Any) -> "dict[str, torch.Tensor]":
    from tav.metrics.clip import image_features, load_clip

    return subject.features(knob, load_clip, image_features, **how)


def _alignment(subject: Subject, name: str, knob: str, **how: Any) -> Metrics:
    """The metric `name` of image and text: of the edit with its prompt, of the source with both prompts."""
    from tav.metrics.clip import text_features
    from tav.metrics.formulas import textual_alignment

    features = _clip_features(subject, knob, **how)
    clip = subject.loaded[knob]
    scale: float = clip.model.logit_scale.item()
    target, caption = text_features(clip, subject.prompt), text_features(clip, subject.caption)
    return {
        "edit": {name: textual_alignment(features["edit"], target, scale)},
        "source": {
            name: textual_alignment(features["source"], caption, scale),
            f"{name}_with_target_prompt": textual_alignment(features["source"], target, scale),
        },
    }


def _frame_and_consecutive_consistency(subject: Subject) -> Metrics:
    from tav.metrics.formulas import consecutive_consistency, frame_consistency

    metrics = (frame_consistency, consecutive_consistency)
    features = _clip_features(subject, "clip")
    return {who: {metric.__name__: metric(f) for metric in metrics} for who, f in features.items()}


def _motion_alignment(subject: Subject) -> Metrics:
    from tav.metrics.formulas import motion_alignment

    return {"edit": {"motion_alignment": motion_alignment(subject.frames["edit"], subject.frames["source"])}}


def _semantic_consistency(subject: Subject) -> Metrics:
    from tav.metrics.formulas import positive_consistency

    features = _clip_features(subject, "clip", size=None, pooled=True)
    return {who: {"semantic_consistency": positive_consistency(f)} for who, f in features.items()}


def _object_consistency(subject: Subject) -> Metrics:
    from tav.metrics.dino import load_dino, pooled_features
    from tav.metrics.formulas import positive_consistency

    features = subject.features("dino", load_dino, pooled_features)
    return {who: {"object_consistency": positive_consistency(f)} for who, f in features.items()}


def _structure_distance(subject: Subject) -> Metrics:
    from tav.metrics.dino import keys, load_dino
    from tav.metrics.formulas import structure_distance

    seen = subject.features("dino", load_dino, keys)
    return {"edit": {"structure_distance": structure_distance(seen["edit"], seen["source"])}}


def _aesthetic_quality(subject: Subject) -> Metrics:
    from tav.metrics.aesthetic import load_aesthetic, scores

    by_video = subject.features("aesthetic", load_aesthetic, scores)
    return {who: {"aesthetic_quality": float(values.mean())} for who, values in by_video.items()}


def _source_psnr(subject: Subject) -> Metrics:
    from tav.metrics.formulas import psnr

    return {"edit": {"source_psnr": min(psnr(subject.frames["edit"], subject.frames["source"]), 100.0)}}


def _background_psnr(subject: Subject) -> Metrics:
    from tav.metrics.formulas import psnr

    assert subject.mask is not None
    edit, source = (subject.frames[who][~subject.mask] for who in ("edit", "source"))
    return {"edit": {"background_psnr": min(psnr(edit, source), 100.0)}} if len(edit) else {}


def _source_lpips(subject: Subject) -> Metrics:
    return {"edit": {"source_lpips": _lpips(subject, subject.frames)}}


def _background_lpips(subject: Subject) -> Metrics:
    """As PIE-Bench does: both are black where the edit was allowed to change."""
    assert subject.mask is not None
    outside = ~subject.mask[..., None]
    return {"edit": {"background_lpips": _lpips(subject, {who: f * outside for who, f in subject.frames.items()})}}


def _lpips(subject: Subject, frames: "dict[str, np.ndarray]") -> float:
    from tav.metrics.perceptual import distances, load_lpips

    network = subject.once("lpips", lambda: load_lpips(subject.model("lpips")))
    return float(distances(network, frames["edit"], frames["source"]).mean())


def _warping_error(subject: Subject) -> Metrics:
    from tav.metrics.formulas import warping_error

    source = subject.frames["source"]
    return {who: {"warping_error": warping_error(f, source)} for who, f in subject.frames.items()}


ALWAYS = ("frame_consistency", "textual_alignment", "pick_score", "motion_alignment")
MEASURES = {
    measure.name: measure
    for measure in (
        Measure("frame_consistency", _frame_and_consecutive_consistency, "clip", several=True),
        Measure("textual_alignment", lambda s: _alignment(s, "textual_alignment", "clip"), "clip"),
        Measure("pick_score", lambda s: _alignment(s, "pick_score", "pick_score"), "pick_score"),
        Measure("motion_alignment", _motion_alignment, several=True),
        Measure("semantic_consistency", _semantic_consistency, "clip", several=True),
        Measure("object_consistency", _object_consistency, "dino", several=True),
        Measure("frames_text_alignment", lambda s: _alignment(s, "frames_text_alignment", "clip", size=None), "clip"),
        Measure(
            "frames_pick_score", lambda s: _alignment(s, "frames_pick_score", "pick_score", size=None), "pick_score"
        ),
        Measure("aesthetic_quality", _aesthetic_quality, "aesthetic"),
        Measure("structure_distance", _structure_distance, "dino"),
        Measure("source_psnr", _source_psnr),
        Measure("background_psnr", _background_psnr, masked=True),
        Measure("source_lpips", _source_lpips, "lpips"),
        Measure("background_lpips", _background_lpips, "lpips", masked=True),
        Measure("warping_error", _warping_error, several=True),
    )
}
