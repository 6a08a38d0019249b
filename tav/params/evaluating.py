"""The section `evaluate`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tav.params.sections import Model, Section

More = Literal[
    "semantic_consistency",
    "object_consistency",
    "frames_text_alignment",
    "frames_pick_score",
    "aesthetic_quality",
    "structure_distance",
    "source_psnr",
    "background_psnr",
    "source_lpips",
    "background_lpips",
    "warping_error",
]
MODEL_OF = {
    "object_consistency": "dino",
    "structure_distance": "dino",
    "aesthetic_quality": "aesthetic",
    "frames_pick_score": "pick_score",
    "source_lpips": "lpips",
    "background_lpips": "lpips",
}
"""The setting that names a metric's model, where it may be null."""


class Evaluate(Section):
    """With which models an edited video is measured."""

    clip: Model
    """CLIP, for frame consistency and textual alignment."""
    pick_score: Model | None = None
    """PickScore, trained on what people chose. null: no such metric."""
    dino: Model | None = None
    """DINOv2, for object_consistency, or DINO, for structure_distance, as in hub:facebook/dinov2-base."""
    aesthetic: Model | None = None
    """hub:shunk031/aesthetics-predictor-v2-sac-logos-ava1-l14-linearMSE, for aesthetic_quality."""
    lpips: Model | None = None
    """LPIPS's weights (docs/metrics.md), for source_lpips and background_lpips. Needs the extra lpips."""
    metrics: tuple[More, ...] = Field(default=(), strict=False)
    """More to measure, by name (docs/metrics.md). One more computes that one alone."""

    @model_validator(mode="after")
    def _has_models(self) -> Self:
        for name in self.metrics:
            knob = MODEL_OF.get(name)
            if knob and getattr(self, knob) is None:
                raise ValueError(f"metrics has {name}, which needs a model: set evaluate.{knob}")
        return self
