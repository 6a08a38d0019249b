"""How people would like a picture: LAION's aesthetic predictor, linear layers on CLIP's image embedding.

The weights are those of shunk031/aesthetics-predictor-v2-sac-logos-ava1-l14-linearMSE, or of the same layout.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tav.params import Model, UserError, user_errors

if TYPE_CHECKING:
    import numpy as np
    import torch


class Aesthetic(NamedTuple):
    model: Any
    processor: Any
    layers: "list[tuple[torch.Tensor, torch.Tensor]]"
    """Weight and bias of each; nothing stands between them (but dropout, in training)."""


def load_aesthetic(model: Model) -> Aesthetic:
    """CLIP's vision model and the layers upon it, in float32. Raises UserError."""
    if model.hub_id is None and not Path(model.name).is_dir():
        raise UserError(f"no aesthetic predictor at {model.name}: no such folder; set evaluate.aesthetic.source")
    import torch
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    from tav.model.device import best_device

    disable_progress_bar()
    set_verbosity_error()  # it would tell that the layers aren't CLIP's
    where = {"revision": model.revision, "local_files_only": model.hub_id is None}
    try:
        layers = _layers(model, where)
        clip = CLIPVisionModelWithProjection.from_pretrained(
            model.name, dtype=torch.float32, use_safetensors=True, **where
        )
        processor = CLIPImageProcessorPil.from_pretrained(model.name, **where)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"can't load an aesthetic predictor from {model.name}: {' '.join(str(error).split())}"
        ) from None
    with user_errors():
        return Aesthetic(clip.eval().to(best_device()), processor, layers)


def scores(aesthetic: Aesthetic, frames: "np.ndarray") -> "torch.Tensor":
    """(f), about 0 to 10, of frames uint8 (f h w 3)."""
    import torch
    from torch.nn import functional

    values = []
    for frame in frames:
        inputs = aesthetic.processor(images=frame, return_tensors="pt").to(aesthetic.model.device)
        with torch.inference_mode():
            score = functional.normalize(aesthetic.model(**inputs).image_embeds, dim=-1).cpu()
            for weight, bias in aesthetic.layers:
                score = functional.linear(score, weight, bias)
        values.append(score.flatten())
    return torch.cat(values)


def _layers(model: Model, where: dict[str, Any]) -> "list[tuple[torch.Tensor, torch.Tensor]]":
    """`layers.N.weight` and `.bias` of the weights' file, in order. Raises UserError where it has none."""
    from safetensors import safe_open
    from transformers.utils import cached_file

    with safe_open(cached_file(model.name, "model.safetensors", **where), "pt") as file:
        there = set(file.keys())
        numbers = sorted(int(name.split(".")[1]) for name in there if name.startswith("layers.") and "weight" in name)
        if not numbers:
            raise UserError(f"{model.name} has no layers.N.weight: it is a CLIP without an aesthetic predictor")
        names = [(f"layers.{n}.weight", f"layers.{n}.bias") for n in numbers]
        return [(file.get_tensor(weight).float(), file.get_tensor(bias).float()) for weight, bias in names]
