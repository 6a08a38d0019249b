"""DINO and DINOv2: features that tell objects apart, and keys that tell where they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tav.params import Model, UserError, user_errors

if TYPE_CHECKING:
    import numpy as np
    import torch

KINDS = {"dinov2", "vit"}


class Dino(NamedTuple):
    model: Any
    processor: Any


def load_dino(model: Model) -> Dino:
    """A Dinov2Model, or a ViTModel as DINO is, in float32 with its processor. Raises UserError."""
    if model.hub_id is None and not Path(model.name).is_dir():
        raise UserError(f"no DINO at {model.name}: no such folder; set evaluate.dino.source in params.yaml")
    import torch
    from transformers import AutoImageProcessor, AutoModel, PreTrainedConfig
    from transformers.utils.logging import disable_progress_bar

    from tav.model.device import best_device

    disable_progress_bar()
    where = {"revision": model.revision, "local_files_only": model.hub_id is None}
    try:
        kind = PreTrainedConfig.get_config_dict(model.name, **where)[0].get("model_type")
        if kind not in KINDS:
            raise UserError(f"{model.name} is a model of type {kind!r}, where evaluate.dino needs dinov2 or vit (DINO)")
        dino = AutoModel.from_pretrained(model.name, dtype=torch.float32, use_safetensors=True, **where)
        processor = AutoImageProcessor.from_pretrained(model.name, backend="pil", **where)
    except (OSError, ValueError) as error:
        raise UserError(f"can't load a DINO from {model.name}: {' '.join(str(error).split())}") from None
    with user_errors():
        return Dino(dino.eval().to(best_device()), processor)


def pooled_features(dino: Dino, frames: "np.ndarray") -> "torch.Tensor":
    """(f d), float32, of frames uint8 (f h w 3): the class token after its norm (of a ViT, after its pooler)."""
    import torch

    with torch.inference_mode():
        return torch.cat([dino.model(**_inputs(dino, frame)).pooler_output for frame in frames]).cpu()


def keys(dino: Dino, frames: "np.ndarray") -> "torch.Tensor":
    """Of the last layer's self-attention, all heads side by side: (f n d), float32, the class token first."""
    import torch

    last = [module for name, module in dino.model.named_modules() if name.endswith(".k_proj")][-1]
    layer_keys: list[torch.Tensor] = []
    hook = last.register_forward_hook(lambda module, given, output: layer_keys.append(output.cpu()))
    try:
        with torch.inference_mode():
            for frame in frames:
                dino.model(**_inputs(dino, frame))
    finally:
        hook.remove()
    return torch.cat(layer_keys)


def _inputs(dino: Dino, frame: "np.ndarray") -> Any:
    return dino.processor(images=frame, return_tensors="pt").to(dino.model.device)
