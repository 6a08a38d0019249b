"""Edited video, source frames, prompts -> metrics.json, with the source's own values as the reference."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tav.artifacts import artifact, read_frames, read_json, write_json
from tav.params import Model, Params, UserError, told
from tav.stages import OnProgress, Progress

if TYPE_CHECKING:
    import torch

LOVEU_SIZE = (480, 480)
"""Width and height of a frame before CLIP's own processor sees it (showlab/loveu-tgve-2023, run_eval.py, line 114)."""
Metrics = dict[str, dict[str, float]]
"""Of "edit" and "source", by name."""
BATCH = 16
"""Frames that go through CLIP at once."""


class Clip(NamedTuple):
    model: Any
    processor: Any


def load_clip(model: Model) -> Clip:
    """A CLIPModel in float32 with its processor, on the device that `best_device` says. PickScore is one too.

    Raises UserError: no such folder or hub id, not a CLIP, no safetensors.
    """
    if model.hub_id is None and not Path(model.name).is_dir():
        raise UserError(f"no CLIP at {model.name}: no such folder; set its source under evaluate in params.yaml")
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor
    from transformers.utils.logging import disable_progress_bar

    from tav.model.device import best_device

    disable_progress_bar()
    where = {"revision": model.revision, "local_files_only": model.hub_id is None}
    try:
        kind = CLIPConfig.get_config_dict(model.name, **where)[0].get("model_type")
        if kind != "clip":
            raise UserError(f"{model.name} is a model of type {kind!r}, where evaluate needs a CLIP ('clip')")
        clip = CLIPModel.from_pretrained(model.name, dtype=torch.float32, use_safetensors=True, **where)
        processor = CLIPProcessor.from_pretrained(model.name, **where)
    except (OSError, ValueError) as error:
        raise UserError(f"can't load a CLIP from {model.name}: {' '.join(str(error).split())}") from None
    with told():
        return Clip(clip.eval().to(best_device()), processor)


def image_features(clip: Clip, frames: np.ndarray) -> "torch.Tensor":
    """Projected features (f d), float32, of frames uint8 (f h w 3), made 480x480 first as LOVEU-TGVE does."""
    import torch
    from PIL import Image

    features = []
    for start in range(0, len(frames), BATCH):
        images = [Image.fromarray(frame).resize(LOVEU_SIZE) for frame in frames[start : start + BATCH]]
        inputs = clip.processor(images=images, return_tensors="pt").to(clip.model.device)
        with torch.inference_mode():
            features.append(clip.model.get_image_features(**inputs).pooler_output)
    return torch.cat(features).cpu()


def text_features(clip: Clip, text: str) -> "torch.Tensor":
    """Projected features (d), float32. What a text has over CLIP's 77 tokens is cut off."""
    import torch

    inputs = clip.processor(text=[text], truncation=True, max_length=77, return_tensors="pt").to(clip.model.device)
    with torch.inference_mode():
        return clip.model.get_text_features(**inputs).pooler_output[0].cpu()  # type: ignore[no-any-return]


def alignments(name: str, clip: Clip, features: dict[str, "torch.Tensor"], prompt: str, caption: str) -> Metrics:
    """The metric `name` of image and text: of the edit with its prompt, of the source with both prompts."""
    from tav.metrics import textual_alignment

    scale: float = clip.model.logit_scale.item()
    target, own = text_features(clip, prompt), text_features(clip, caption)
    return {
        "edit": {name: textual_alignment(features["edit"], target, scale)},
        "source": {
            name: textual_alignment(features["source"], own, scale),
            f"{name}_with_target_prompt": textual_alignment(features["source"], target, scale),
        },
    }


def consistencies(features: dict[str, "torch.Tensor"]) -> Metrics:
    """What compares frames with each other, of edit and source."""
    from tav.metrics import consecutive_consistency, frame_consistency

    metrics = (frame_consistency, consecutive_consistency)
    return {who: {metric.__name__: metric(f) for metric in metrics} for who, f in features.items()}


def check_finite(metrics: Metrics) -> None:
    """JSON has no NaN, and no number is better than a wrong one. Raises UserError."""
    for who, values in metrics.items():
        for name, value in values.items():
            if not math.isfinite(value):
                raise UserError(f"{name} of the {who} is {value}, not a number: its model gives broken features")


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    from tav.metrics import motion_alignment

    edit = params.video_edit(key)
    frames = {
        "edit": read_frames(artifact("edit", key, "frames")),
        "source": read_frames(artifact("extract", edit.video, "frames")),
    }
    if frames["edit"].shape != frames["source"].shape:
        got = " and ".join(f"{f.shape} ({who})" for who, f in frames.items())
        raise UserError(f"the frames of edit {key!r} and of its source differ: {got}; run `dvc repro edit@{key}`")
    caption = read_json(artifact("caption", edit.video, "caption.json"))["caption"]
    models = {"textual_alignment": params.evaluate.clip}
    if params.evaluate.pick_score:
        models["pick_score"] = params.evaluate.pick_score
    metrics: Metrics = {"edit": {}, "source": {}}
    several = len(frames["edit"]) > 1  # one frame has no other to compare it with
    for done, (name, model) in enumerate(models.items(), 1):
        clip = load_clip(model)
        features = {who: image_features(clip, f) for who, f in frames.items()}
        parts = [alignments(name, clip, features, edit.prompt, caption)]
        if name == "textual_alignment" and several:
            parts.insert(0, consistencies(features))
        for who, found in ((who, found) for part in parts for who, found in part.items()):
            metrics[who] |= found
        on_progress(Progress(done, len(models) + 1, metrics["edit"]))
    if several:
        metrics["edit"]["motion_alignment"] = motion_alignment(frames["edit"], frames["source"])
    check_finite(metrics)
    write_json(artifact("evaluate", key, "metrics.json"), metrics)
    on_progress(Progress(len(models) + 1, len(models) + 1, metrics["edit"]))
