"""The section `tune`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tav.model.tune_settings import TuneSettings
from tav.params.controls import Control
from tav.params.sections import MOST, File, Positive, Precision, Section, Text


class PriorPictures(Section):
    """Pictures of the kind of thing that the video shows, which the tuned network must go on drawing right."""

    prompt: Text
    """What they show, as in `a car`: the kind, not the video's own."""
    folder: File | None = None
    """Pictures of your own, of any size. In the folder `models`, DVC sees when they change. null: the base draws them,
    once."""
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Of their loss beside the video's."""
    number: Annotated[int, Field(ge=1, le=10_000)] = 100
    """How many the base draws."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 50
    """DDIM steps of each that the base draws."""
    guidance_scale: Annotated[float, Field(ge=1, le=100)] = 7.5
    """How strongly `prompt` guides what the base draws."""


class Tune(Section):
    """How the model learns a video's motion. Defaults stand in TuneSettings, where the model has the knob."""

    steps: Annotated[int, Field(ge=0, le=MOST)] = TuneSettings.steps
    """Optimizer steps. Each sees the whole video once. 0: the base as it is inflated."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = TuneSettings.learning_rate
    """Of the query projections, and of the temporal attention where that has none of its own."""
    temporal_learning_rate: Annotated[float, Field(gt=0, le=1)] | None = TuneSettings.temporal_learning_rate
    """Of the temporal attention. null: `learning_rate`."""
    lr_schedule: Literal["constant", "linear", "cosine"] = TuneSettings.lr_schedule
    """How the rates go on after the warm-up. linear and cosine end at zero."""
    warmup_steps: Annotated[int, Field(ge=0, le=MOST)] = TuneSettings.warmup_steps
    """Steps in which the rates rise from zero. Fewer than `steps`."""
    window_frames: Positive | None = TuneSettings.window_frames
    """Frames that a step sees. null: the whole video."""
    windows: Literal["one", "all"] = TuneSettings.windows
    """Where it has `window_frames`: one, the video's first; all: another, drawn at random, in each step."""
    prior_weight: Annotated[float, Field(ge=0, le=100)] = TuneSettings.prior_weight
    """How much frame 0 is held to what the base, as an image model, predicts for it. Keeps what the base knew."""
    prior_pictures: PriorPictures | None = None
    """Pictures of the kind of thing in the video, one of which each step learns beside it, as DreamBooth does."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = TuneSettings.weight_decay
    """AdamW's."""
    max_grad_norm: Annotated[float, Field(gt=0)] = TuneSettings.max_grad_norm
    """A longer gradient is shortened to this norm."""
    gradient_checkpointing: bool | None = None
    """Less memory, more time. null: where `compute.memory` needs it."""
    official_checkpointing: bool = TuneSettings.official_checkpointing
    """Do as the official code: reentrant checkpointing, which leaves the down blocks untrained."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = TuneSettings.seed
    """Of the noise, the timesteps and the new weights."""
    checkpoint_every: Positive = TuneSettings.checkpoint_every
    """Steps."""
    keep_checkpoints: Positive = TuneSettings.keep_checkpoints
    """How many of the newest checkpoints are kept."""
    control: Control | None = None
    """A ControlNet or T2I-Adapter that stands beside the network while it is tuned, as in edit.controls. null: none."""
    sample_every: Positive | None = None
    """Steps between samples of the prompts of this video's edits. null: none."""
    save_precision: Precision = "fp16"
    """Of the tuned weights' file."""
    self_attention: Literal["sparse-causal", "frame", "full"] = TuneSettings.self_attention
    """For ablations: which frames a frame's self-attention sees. frame: itself; full: all, at many times the cost."""
    temporal_after: Literal["feed-forward", "cross-attention", "self-attention"] = TuneSettings.temporal_after
    """Where temporal attention stands in a block. feed-forward: at its end, as in the paper. What was tuned with one
    is used with it."""
    temporal: bool = TuneSettings.temporal
    """For ablations: false tunes without temporal attention."""

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.steps and self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be fewer than steps ({self.steps})")
        return self
