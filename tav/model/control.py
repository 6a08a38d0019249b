"""ControlNets and T2I-Adapters beside the UNet: what holds an edit to edges, depth and other maps of the video.

Both are diffusers' own classes and see the frames as the UNet does, folded into the batch, each frame with its map.

| | ControlNet (Zhang et al. 2023) | T2I-Adapter (Mou et al. 2023) |
| --- | --- | --- |
| sees | latents, time step, prompt and map, in each step | the map alone, once |
| adds to the UNet | at every skip connection and at the bottleneck | after each down block |
| costs a step | a third more on Emoji World | nothing |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers import ControlNetModel, T2IAdapter
from einops import rearrange
from torch import Tensor

from tav.model.denoiser import DiffusionStep, unet_inputs
from tav.model.prompts import Prompts
from tav.model.size import Size

Model: TypeAlias = Any
"""diffusers' ControlNetModel or T2IAdapter."""
Residuals = dict[str, list[Tensor] | Tensor]


@dataclass(frozen=True)
class Control:
    """One network and the maps that it follows."""

    model: Model
    """In the UNet's dtype, on its device."""
    maps: Tensor
    """float32 in [0, 1], f 3 h w, in the frames' pixels."""
    scale: float = 1.0
    start: float = 0.0
    """Share of the steps before which it is off, and the next, after which. Counted as diffusers' pipelines do."""
    end: float = 1.0

    def is_on(self, step: DiffusionStep) -> bool:
        return self.scale != 0 and step.index / step.count >= self.start and (step.index + 1) / step.count <= self.end


class Controls:
    """An Attachment of the Network: all controls of an edit. What they add is summed."""

    def __init__(self, controls: Sequence[Control], unet: Any, latent_size: Size) -> None:
        """Runs the adapters.

        Args:
            controls: that fit the UNet (`check_fits`).
            unet: beside which they stand.
            latent_size: of the latents.

        Raises:
            ValueError: an adapter gives features of another size than the UNet takes.
        """
        self.nets = [control for control in controls if isinstance(control.model, ControlNetModel)]
        self.adapters = [
            (control, _features(control, unet, latent_size))
            for control in controls
            if isinstance(control.model, T2IAdapter)
        ]

    def marks(self) -> list[Tensor]:
        """What tells these from others: the maps, how they count, and a few numbers of each weight."""
        found = []
        for control in [*self.nets, *(control for control, _ in self.adapters)]:
            few = [parameter.detach().flatten()[:64].float() for parameter in control.model.parameters()]
            counts = torch.tensor([control.scale, control.start, control.end], device=few[0].device)
            found += [control.maps, torch.cat([*few, counts])]
        return found

    def unet_kwargs(self, latents: Tensor, step: DiffusionStep, prompts: Prompts) -> dict[str, Any]:
        """See Attachment. Empty where all are off: then the UNet runs as it does without."""
        return self._of_nets(latents, step, prompts) | self._of_adapters(len(prompts.embeds), step)

    def _of_nets(self, latents: Tensor, step: DiffusionStep, prompts: Prompts) -> Residuals:
        down: list[Tensor] = []
        mid: Tensor | None = None
        for control in self.nets:
            if not control.is_on(step):
                continue
            maps = _of_batch(control.maps, len(prompts.embeds), step)
            more_down, more_mid = net_residuals(control.model, latents, step.timestep, prompts, maps, control.scale)
            down = [a + b for a, b in zip(down, more_down, strict=True)] if down else list(more_down)
            mid = more_mid if mid is None else mid + more_mid
        return {} if mid is None else {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}

    def _of_adapters(self, videos: int, step: DiffusionStep) -> Residuals:
        on = [
            [control.scale * feature for feature in features]
            for control, features in self.adapters
            if control.is_on(step)
        ]
        if not on:
            return {}
        # the UNet empties the list, and may add in place
        summed = [_of_batch(sum(parts), videos, step) for parts in zip(*on, strict=True)]
        return {"down_intrablock_additional_residuals": summed}


def net_residuals(
    net: Any, latents: Tensor, timestep: Tensor, prompts: Prompts, maps: Tensor, scale: float = 1.0
) -> tuple[list[Tensor], Tensor]:
    """What a ControlNet adds to the UNet: at its skip connections, and at the bottleneck.

    Args:
        net: ControlNetModel.
        latents: (b f) c h w.
        timestep: one for all, or b.
        prompts: b.
        maps: (b f) 3 h w, in pixels.
        scale: of all that it adds.
    """
    dtype = net.conv_in.weight.dtype
    inputs, added = unet_inputs(latents, timestep, prompts, dtype)
    down, mid = net(*inputs, maps.to(dtype), scale, added_cond_kwargs=added or None, return_dict=False)
    return list(down), mid


def pixel_maps(maps: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """Maps as networks take them: uint8 (f h w 3) to float32 in [0, 1], f 3 h w. (Not -1 to 1, as frames are.)"""
    return rearrange(torch.from_numpy(np.ascontiguousarray(maps)), "f h w c -> f c h w").to(device).float() / 255


@torch.no_grad()
def _features(control: Control, unet: Any, latent_size: Size) -> list[Tensor]:
    """An adapter's features of all frames, each f c h w, in the UNet's dtype."""
    adapter, parameter = control.model, next(control.model.parameters())
    maps = control.maps.to(parameter)
    if adapter.config.in_channels == 1:
        maps = maps.mean(1, keepdim=True)
    features: list[Tensor] = list(adapter(maps))
    got = [(c, h, w) for _, c, h, w in (feature.shape for feature in features)]
    expected = adapter_shapes(unet, latent_size)
    if got != expected[: len(got)]:
        raise ValueError(
            f"the T2I-Adapter gives features of {_listed(got)}, this base takes {_listed(expected)}: take one that was "
            "made for this kind of base"
        )
    return features


def adapter_shapes(unet: Any, latent_size: Size) -> list[tuple[int, int, int]]:
    """Where a UNet adds an adapter's features: (c, h, w) of each down block.

    A block with attention takes them before it halves its size, one without (SDXL's first) after that.
    """
    shapes: list[tuple[int, int, int]] = []
    height, width = latent_size
    for block in unet.down_blocks:
        channels = block.resnets[-1].out_channels
        before = (channels, height, width)
        if block.downsamplers is not None:
            height, width = (height + 1) // 2, (width + 1) // 2
        shapes.append(before if getattr(block, "has_cross_attention", False) else (channels, height, width))
    return shapes


def _of_batch(frames: Tensor, videos: int, step: DiffusionStep) -> Tensor:
    """f ... to (b f) ...: what belongs to the frames that this step sees, the same for each video of the batch.

    A tensor of its own.
    """
    seen = frames if step.frames is None else frames[step.frames.to(frames.device)]
    return seen.repeat(videos, *[1] * (frames.ndim - 1))


def _listed(shapes: list[tuple[int, int, int]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)
