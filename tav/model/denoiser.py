"""The network as inversion and sampling see it: a denoiser, from latents at a time step to a prediction.

    Network (the UNet and what stands beside it) -> `prompted` or `guided`: a Denoiser -> ddim_invert, ddim_sample

A prediction is float32, in the latents' shape: noise, or v of a v-prediction model. What shapes an edit plugs in here,
and changes nothing, bit for bit, where it is left out:

| what | where |
| --- | --- |
| ControlNet, T2I-Adapter: more inputs of the UNet | an Attachment of the Network |
| IP-Adapter: a picture beside the prompt | the condition of Prompts |
| Prompt-to-Prompt: a source row in the batch | a Denoiser of its own, that calls the Network with more prompts |
| windows: fewer frames at a time | a Denoiser around another; which frames stands in `DiffusionStep.frames` |
| masks: the source's latents outside of it | `after_step` of ddim_sample, with the inversion's Trajectory |
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from tav.model.inflation import set_num_frames
from tav.model.prompts import IMAGE_EMBEDS, Condition, Prompts, join


@dataclass(frozen=True)
class DiffusionStep:
    """Where inversion or sampling stands."""

    timestep: Tensor
    """The network's: a number."""
    index: int
    """Of the steps that sampling takes; 0 has the most noise. Inversion goes from the last to 0."""
    count: int
    """How many steps it takes, those that `strength` leaves out not counted."""
    frames: Tensor | None = None
    """Which frames of the video the latents are, where they are not all of them: f numbers."""

    @property
    def steps_left(self) -> int:
        """With this one. `Trajectory.at` takes it: the source's latents before sampling's step; 1 less: after it."""
        return self.count - self.index


Denoiser = Callable[[Tensor, DiffusionStep], Tensor]
"""From latents (b f) c h w, float32, to the prediction."""
PromptedNetwork = Callable[[Tensor, DiffusionStep, Prompts], Tensor]
"""The same under b prompts, one a video of the batch. `Network` is one."""


class Attachment(Protocol):
    """What stands beside the UNet and gives it more to go by."""

    def unet_kwargs(self, latents: Tensor, step: DiffusionStep, prompts: Prompts) -> dict[str, Any]:
        """What the UNet is called with beside latents, time step and prompts. Anew in each call: it may change it.

        `unet_inputs` folds the three for a ControlNet as for the UNet. Both halves of guidance may be one batch, the
        negative prompts first, or come one after the other.
        """


@dataclass(frozen=True)
class Network:
    """A UNet, inflated, or an image UNet, which sees each frame alone. Attachments give different arguments."""

    unet: Any
    attachments: Sequence[Attachment] = ()

    def __call__(self, latents: Tensor, step: DiffusionStep, prompts: Prompts) -> Tensor:
        more: dict[str, Any] = {}
        for attachment in self.attachments:
            more |= attachment.unet_kwargs(latents, step, prompts)
        return predict_noise(self.unet, latents, step.timestep, *prompts, **more)


def prompted(network: PromptedNetwork, prompts: Prompts) -> Denoiser:
    """A network under a prompt for each video, without guidance."""
    return lambda latents, step: network(latents, step, prompts)


def guided(
    network: PromptedNetwork, prompts: Prompts, negative_prompts: Prompts, scale: float, *, split: bool = False
) -> Denoiser:
    """Classifier-free guidance around a network (Ho and Salimans 2022): negative + scale * (positive - negative).

    Args:
        network: see PromptedNetwork.
        prompts: one a video, the target prompt.
        negative_prompts: one a video, negative or empty.
        scale: 1 is no guidance and costs half.
        split: run the two halves one after the other, for half the memory.
    """
    if scale == 1:
        return prompted(network, prompts)
    both = join([negative_prompts, prompts])

    def denoise(latents: Tensor, step: DiffusionStep) -> Tensor:
        if split:
            negative, positive = (network(latents, step, half) for half in (negative_prompts, prompts))
        else:
            negative, positive = network(latents.repeat(2, 1, 1, 1), step, both).chunk(2)
        return negative + scale * (positive - negative)

    return denoise


def predict_noise(
    unet: Any,
    latents: Tensor,
    timestep: Tensor,
    prompt_embeds: Tensor,
    condition: Condition | None = None,
    **unet_kwargs: Any,
) -> Tensor:
    """The UNet's output as float32: noise, or v for a v-prediction model. Sets the UNet's num_frames.

    Args:
        unet: inflated or not.
        latents: (b f) c h w.
        timestep: one for all, or b.
        prompt_embeds: b n d.
        condition: see Condition.
        unet_kwargs: for the UNet as they are.
    """
    num_frames, rest = divmod(len(latents), len(prompt_embeds))
    if rest:
        raise ValueError(f"{len(latents)} latents for {len(prompt_embeds)} prompts; expected as many frames for each")
    set_num_frames(unet, num_frames)
    dtype = unet.conv_in.weight.dtype  # unet.dtype takes milliseconds
    inputs, added = unet_inputs(latents, timestep, Prompts(prompt_embeds, condition or {}), dtype)
    listed = {name: [value] if name == IMAGE_EMBEDS else value for name, value in added.items()}  # one IP-Adapter
    noise_pred: Tensor = unet(*inputs, added_cond_kwargs=listed or None, **unet_kwargs).sample
    return noise_pred.float()


def unet_inputs(
    latents: Tensor, timestep: Tensor, prompts: Prompts, dtype: torch.dtype
) -> tuple[tuple[Tensor, Tensor, Tensor], dict[str, Tensor]]:
    """What a UNet, or a ControlNet, takes of a folded batch: latents, time steps, embeddings; added_cond_kwargs.

    Args:
        latents: (b f) c h w.
        timestep: one for all, or b.
        prompts: b.
        dtype: the network's.
    """
    num_frames, device = len(latents) // len(prompts.embeds), latents.device
    timesteps = timestep.to(device).expand(len(prompts.embeds)).repeat_interleave(num_frames)
    context = prompts.embeds.to(device, dtype).repeat_interleave(num_frames, 0)
    added = {name: value.to(device).repeat_interleave(num_frames, 0) for name, value in prompts.condition.items()}
    return (latents.to(dtype), timesteps, context), added
