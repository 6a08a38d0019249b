"""What tells two configurations apart: every value that made a result, whatever the defaults are today."""

import hashlib
import json
from typing import Any

UNSAID: dict[str, Any] = {
    "base.config": None,
    "base.loras": [],
    "base.loras.file": None,
    "base.loras.scale": 1.0,
    "compute.precision": "auto",
    "compute.token_merging": 0.0,
    "extract.num_frames": 8,
    "extract.start": 0.0,
    "extract.fps": None,
    "extract.stride": None,
    "extract.size": 512,
    "extract.fit": "stretch",
    "extract.reader": "decord",
    "caption.max_new_tokens": 30,
    "tune.steps": 500,
    "tune.learning_rate": 3e-5,
    "tune.temporal_learning_rate": None,
    "tune.lr_schedule": "constant",
    "tune.warmup_steps": 0,
    "tune.window_frames": None,
    "tune.windows": "one",
    "tune.prior_weight": 0.0,
    "tune.prior_pictures": None,
    "tune.prior_pictures.folder": None,
    "tune.prior_pictures.weight": 1.0,
    "tune.prior_pictures.number": 100,
    "tune.prior_pictures.steps": 50,
    "tune.prior_pictures.guidance_scale": 7.5,
    "tune.weight_decay": 1e-2,
    "tune.max_grad_norm": 1.0,
    "tune.gradient_checkpointing": None,
    "tune.official_checkpointing": False,
    "tune.self_attention": "sparse-causal",
    "tune.temporal": True,
    "tune.temporal_after": "feed-forward",
    "tune.seed": 33,
    "tune.checkpoint_every": 100,
    "tune.keep_checkpoints": 2,
    "tune.control": None,
    "tune.control.kind": None,
    "tune.control.frames": None,
    "tune.control.scale": 1.0,
    "tune.control.start": 0.0,
    "tune.control.end": 1.0,
    "tune.sample_every": None,
    "tune.save_precision": "fp16",
    "invert.num_inference_steps": 50,
    "invert.prompt": "",
    "invert.method": "ddim",
    "invert.refine": 0,
    "invert.seed": 33,
    "invert.window": None,
    "edit.method": "tune-a-video",
    "edit.video_model": None,
    "edit.guidance_scale": 12.5,
    "edit.negative_prompt": "",
    "edit.seed": 33,
    "edit.strength": 1.0,
    "edit.from": "inversion",
    "edit.output_size": "source",
    "edit.scheduler": "ddim",
    "edit.steps": None,
    "edit.eta": 0.3,
    "edit.loras": [],
    "edit.loras.file": None,
    "edit.loras.scale": 1.0,
    "edit.window": None,
    "edit.controls": [],
    "edit.metadata": True,
    "edit.first_frame": None,
    "edit.controls.kind": None,
    "edit.controls.frames": None,
    "edit.controls.scale": 1.0,
    "edit.controls.start": 0.0,
    "edit.controls.end": 1.0,
    "edit.reference": None,
    "edit.reference.scale": 0.6,
    "edit.reference.model.file": "models/ip-adapter_sd15.safetensors",
    "edit.reference.model.image_encoder": "models/image_encoder",
    "edit.mask": None,
    "edit.mask.path": None,
    "edit.mask.box": None,
    "edit.mask.words": None,
    "edit.mask.point": None,
    "edit.mask.tracker": None,
    "edit.mask.threshold": 0.3,
    "edit.mask.grow": 0,
    "edit.mask.feather": 0,
    "edit.mask.invert": False,
    "edit.attention": None,
    "edit.attention.cross_replace": 0.4,
    "edit.attention.self_replace": 0.3,
    "edit.attention.amplify": {},
    "edit.attention.blend": [],
    "edit.attention.threshold": 0.3,
    "condition.kinds": [],
    "condition.canny": [100, 200],
    "condition.tile": 8,
    "condition.blur": 8.0,
    "condition.depth": None,
    "condition.pose": None,
    "condition.person": None,
    "evaluate.pick_score": None,
    "evaluate.dino": None,
    "evaluate.aesthetic": None,
    "evaluate.lpips": None,
    "evaluate.metrics": [],
}
"""Of each knob the one value that an identity doesn't name. No line is ever changed, or rows lose their identity:
these are not defaults. A new knob gets a line with the value that says what was so before it came, so that what was
made before it, whose settings.json has no such knob, keeps its row."""


def without_unsaid(value: Any, name: str) -> Any:
    """`value` of the knob or section `name`, as JSON has it, less all that goes without saying."""
    if isinstance(value, dict):
        inner = {key: (part, f"{name}.{key}") for key, part in value.items()}
        return {key: without_unsaid(part, full) for key, (part, full) in inner.items() if not _goes_unsaid(part, full)}
    return [without_unsaid(part, name) for part in value] if isinstance(value, list) else value


def hash_of(data: Any) -> str:
    """32 hex digits of what can be written as JSON."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]


def _goes_unsaid(value: Any, name: str) -> bool:
    return name in UNSAID and value == UNSAID[name]
