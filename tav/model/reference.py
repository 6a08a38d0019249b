"""A reference picture beside the prompt: IP-Adapter (Ye et al. 2023, arXiv 2308.06721), in diffusers' own classes.

Each cross-attention looks at the picture's keys and values too, with the query that it has for the prompt. Nothing of
the network is replaced: what was tuned stays. A row of the batch that is shown no picture (the negative prompt, the
source) gets the picture that the adapter was trained to take for none, as in diffusers' pipelines.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from tav.model.hub_names import line
from tav.model.prompts import IMAGE_EMBEDS, Prompts
from tav.model.reference_files import AdapterShapes, ReferenceFiles, adapter_shapes, encoder_of


@dataclass(frozen=True)
class Reference:
    """A picture as an adapter gives it to a UNet, and what the adapter puts into that UNet."""

    processors: dict[str, nn.Module]
    """Of each cross-attention, by its name in the UNet."""
    projection: nn.Module
    """From the picture's embedding to tokens."""
    embeds: Tensor
    """1 1 d, or 1 1 n d. And of no picture:"""
    nothing: Tensor

    def shown(self, prompts: Prompts) -> Prompts:
        """Prompts with the picture beside each."""
        return _beside(prompts, self.embeds)

    def not_shown(self, prompts: Prompts) -> Prompts:
        """Prompts of the same batch without it."""
        return _beside(prompts, self.nothing)

    @contextmanager
    def on(self, unet: Any) -> Iterator[None]:
        """Within, the UNet takes prompts with a picture, and no others. Afterwards it is as it was, bit for bit."""
        before, kind = unet.attn_processors, unet.config.encoder_hid_dim_type
        _put(unet, before | self.processors, self.projection, "ip_image_proj")
        try:
            yield
        finally:
            _put(unet, before, None, kind)


@torch.no_grad()
def load_reference(pipe: Any, files: ReferenceFiles, picture: np.ndarray, *, scale: float = 1.0) -> Reference:
    """A picture, and an adapter that fits the base. The pipeline is afterwards as it was.

    Args:
        pipe: with its UNet, inflated or not.
        files: where the adapter and its image encoder are.
        picture: uint8 (h w 3). Its middle square counts.
        scale: of what it adds. 0 adds nothing.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no image encoder, another kind of adapter, or one that was made for another base.
    """
    adapter_shapes(files, pipe.unet)
    unet, dtype, file = pipe.unet, pipe.unet.conv_in.weight.dtype, files.weights()
    before, kind = unet.attn_processors, unet.config.encoder_hid_dim_type
    pipe.register_modules(image_encoder=encoder_of(files, dtype).to(pipe.device))
    try:
        pipe.load_ip_adapter(str(file.parent), "", file.name, image_encoder_folder=None, local_files_only=True)
        pipe.set_ip_adapter_scale(scale)
        both = pipe.prepare_ip_adapter_image_embeds(Image.fromarray(picture), None, pipe.device, 1, True)[0]
        nothing, embeds = both.to(dtype).chunk(2)
        processors = {name: part for name, part in unet.attn_processors.items() if hasattr(part, "to_k_ip")}
        return Reference(processors, unet.encoder_hid_proj, embeds, nothing)
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"{files.name} can't be loaded: {line(error)}") from error
    finally:
        pipe.image_encoder = pipe.feature_extractor = None
        _put(unet, before, None, kind)


def put_shapes_on(unet: Any, shapes: AdapterShapes) -> None:
    """The adapter's layers in a UNet on the meta device, for what they take of memory and time."""
    state: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    with torch.device("meta"):
        for name, shape in shapes.tensors:
            part, _, rest = name.partition(".")
            state[part][rest] = torch.empty(shape)
        unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)


def _beside(prompts: Prompts, embeds: Tensor) -> Prompts:
    each = embeds.expand(len(prompts.embeds), *embeds.shape[1:])
    return Prompts(prompts.embeds, prompts.condition | {IMAGE_EMBEDS: each})


def _put(unet: Any, processors: Mapping[str, Any], projection: nn.Module | None, kind: str | None) -> None:
    unet.encoder_hid_proj = None  # may have attention of its own
    unet.set_attn_processor(dict(processors))
    unet.encoder_hid_proj, unet.config.encoder_hid_dim_type = projection, kind
