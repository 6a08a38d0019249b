"""CLIP, and PickScore, which is one: features of frames and texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tav.model.holding import HELD, files_of, lent
from tav.params import Model, UserError, user_errors

if TYPE_CHECKING:
    import torch

LOVEU_SIZE = (480, 480)
"""Width and height of a frame before CLIP's own processor sees it (showlab/loveu-tgve-2023, run_eval.py, line 114)."""
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
    from transformers.utils.logging import disable_progress_bar

    from tav.model.device import best_device

    disable_progress_bar()
    with user_errors():
        device = best_device()
    kept = f"clip {model.name}", files_of(model.name)
    clip, processor = _read_clip(model) if model.hub_id else HELD.get(*kept, lambda: _read_clip(model))
    return Clip(lent(clip).to(device), processor)


def _read_clip(model: Model) -> Clip:
    import torch
    from transformers import AutoImageProcessor, CLIPConfig, CLIPModel, CLIPProcessor

    where = {"revision": model.revision, "local_files_only": model.hub_id is None}
    try:
        kind = CLIPConfig.get_config_dict(model.name, **where)[0].get("model_type")
        if kind != "clip":
            raise UserError(f"{model.name} is a model of type {kind!r}, where evaluate needs a CLIP ('clip')")
        clip = CLIPModel.from_pretrained(model.name, dtype=torch.float32, use_safetensors=True, **where)
        processor = CLIPProcessor.from_pretrained(model.name, **where)
        # by PIL, as the benchmarks have it: where torchvision is installed, its resizing gives other numbers
        processor.image_processor = AutoImageProcessor.from_pretrained(model.name, backend="pil", **where)
    except (OSError, ValueError) as error:
        raise UserError(f"can't load a CLIP from {model.name}: {' '.join(str(error).split())}") from None
    return Clip(clip.eval(), processor)


def image_features(
    clip: Clip, frames: np.ndarray, *, size: tuple[int, int] | None = LOVEU_SIZE, pooled: bool = False
) -> "torch.Tensor":
    """Features (f d), float32, of frames uint8 (f h w 3).

    size: width and height that frames are made first, as LOVEU-TGVE does; None: none. pooled: those of the vision
    model, before the projection.
    """
    import torch
    from PIL import Image

    features = []
    for start in range(0, len(frames), BATCH):
        images = [Image.fromarray(frame) for frame in frames[start : start + BATCH]]
        images = [image.resize(size) for image in images] if size else images
        inputs = clip.processor(images=images, return_tensors="pt").to(clip.model.device)
        with torch.inference_mode():
            output = clip.model.vision_model(**inputs) if pooled else clip.model.get_image_features(**inputs)
        features.append(output.pooler_output)
    return torch.cat(features).cpu()


def text_features(clip: Clip, text: str) -> "torch.Tensor":
    """Projected features (d), float32. What a text has over CLIP's tokens (77 of OpenAI's) is cut off."""
    import torch

    most = clip.model.config.text_config.max_position_embeddings
    inputs = clip.processor(text=[text], truncation=True, max_length=most, return_tensors="pt").to(clip.model.device)
    with torch.inference_mode():
        return clip.model.get_text_features(**inputs).pooler_output[0].cpu()  # type: ignore[no-any-return]
