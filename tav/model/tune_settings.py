"""What tuning is told. Nothing heavy is imported here: params.yaml's knobs take their defaults from it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TuneSettings:
    """Defaults are the official configs' (configs/*.yaml) where these have the knob."""

    steps: int = 500
    learning_rate: float = 3e-5
    """Of the queries; of temporal attention too, unless it has its own."""
    temporal_learning_rate: float | None = None
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """After the warm-up. Linear and cosine fall towards 0, which the step after the last would have."""
    warmup_steps: int = 0
    window_frames: int | None = None
    """Frames that a step sees of a longer video. None: all."""
    windows: Literal["one", "all"] = "one"
    """one: the first frames. all: others in each step, drawn at random."""
    prior_weight: float = 0.0
    """How much frame 0 is held to the image model's prediction, beside the loss. 0: not at all."""
    pictures_weight: float = 0.0
    """Of the loss on a prior picture, beside the video's. 0: there are none."""
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the frozen weights and of the forward pass. The tuned weights are float32 all the same."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, more time, the same gradients."""
    adam8bit: bool = False
    """AdamW with its state in 8 bits (bitsandbytes): a quarter of the optimizer's memory."""
    official_checkpointing: bool = False
    """Leave the down blocks untrained, as the official code's reentrant checkpointing does without a word."""
    self_attention: Literal["sparse-causal", "frame", "full"] = "sparse-causal"
    """What a frame's self-attention sees. The others than the method's are for ablations."""
    temporal_after: Literal["feed-forward", "cross-attention", "self-attention"] = "feed-forward"
    """Where temporal attention stands in a block. feed-forward: at its end, as in the paper."""
    temporal: bool = True
    """Tune temporal attention. Left out, it adds zero, as it was made."""
    seed: int = 33
    checkpoint_every: int = 100
    keep_checkpoints: int = 2
