"""DDIM, both ways: a video's latents to noise, and noise to an edited video (paper, section 4.2; Song et al. 2021).

Latents are `(b f) c h w` and prompts `b n d`: the number of frames follows from the two.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from diffusers import DDIMInverseScheduler
from torch import Tensor

from tav.model.inflation import set_num_frames
from tav.model.pretrained import ddim_scheduler

OnStep = Callable[[int, int], None]
"""Called after each step with the number of steps done and of all."""
Condition = dict[str, Tensor]
"""What SDXL's UNet takes beside the prompt: text_embeds (b d) and time_ids (b 6). Its added_cond_kwargs."""


@torch.no_grad()
def encode_prompts(text_encoder: Any, tokenizer: Any, prompts: Sequence[str]) -> Tensor:
    """Text embeddings of each prompt: b n d. What the encoder has no room for (77 tokens) is cut, as in diffusers."""
    tokens = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    embeds: Tensor = text_encoder(tokens.input_ids.to(text_encoder.device))[0]
    return embeds


@torch.no_grad()
def ddim_invert(
    unet: Any,
    scheduler: Any,
    latents: Tensor,
    prompt_embeds: Tensor,
    num_inference_steps: int,
    *,
    condition: Condition | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Latents of a video to latents that sampling leads back to it (paper, section 4.2).

    The official code (util.py, next_step) takes every model for an epsilon-prediction one; here the scheduler's
    `prediction_type` counts, so that v-prediction models (SD 2.1) are inverted right.

    Args:
        unet: inflated; or an image UNet, which sees each frame alone.
        scheduler: the model's, of any class: its config counts.
        latents: (b f) c h w, scaled.
        prompt_embeds: b n d. Of the empty prompt, as the official code has it.
        num_inference_steps: of this and of the sampling that follows.
        condition: SDXL only.
        on_step: see OnStep.

    Returns:
        float32, (num_inference_steps + 1) (b f) c h w: the start, then the latents after each step. Sampling from
        index `start` begins with the latents at `-1 - start`.
    """
    inverse = DDIMInverseScheduler.from_config(ddim_scheduler(scheduler).config)
    inverse.set_timesteps(num_inference_steps)
    trajectory = [latents.float()]
    for step, timestep in enumerate(inverse.timesteps, 1):
        noise_pred = predict_noise(unet, trajectory[-1], timestep, prompt_embeds, condition)
        trajectory.append(inverse.step(noise_pred, timestep, trajectory[-1]).prev_sample)
        if on_step is not None:
            on_step(step, num_inference_steps)
    return torch.stack(trajectory)


@torch.no_grad()
def ddim_sample(
    unet: Any,
    scheduler: Any,
    latents: Tensor,
    prompt_embeds: Tensor,
    negative_prompt_embeds: Tensor | None = None,
    *,
    num_inference_steps: int,
    guidance_scale: float = 12.5,
    start: int = 0,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    split_guidance: bool = False,
    condition: Condition | None = None,
    negative_condition: Condition | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Noise, or inverted latents, to latents of an edited video, with classifier-free guidance.

    Args:
        unet: inflated; or an image UNet, which sees each frame alone.
        scheduler: the model's, of any class: its config counts.
        latents: (b f) c h w, at the noise of step `start`.
        prompt_embeds: b n d, of the target prompt.
        negative_prompt_embeds: b n d, of the negative or empty prompt. Not used at guidance 1.
        num_inference_steps: of the whole schedule.
        guidance_scale: 1 is no guidance and costs half.
        start: the first step's index. Steps before it are left out (`strength` < 1).
        eta: 0 is DDIM; above it adds noise from `generator`.
        generator: for `eta`.
        split_guidance: run the two halves of guidance one after the other, for half the memory.
        condition: SDXL only; likewise negative_condition.
        on_step: see OnStep.

    Returns:
        float32, (b f) c h w.
    """
    if guidance_scale != 1 and negative_prompt_embeds is None:
        raise ValueError(f"guidance_scale is {guidance_scale}; expected negative_prompt_embeds, or guidance_scale 1")
    if not 0 <= start < num_inference_steps:
        raise ValueError(f"start is {start}; expected 0 to {num_inference_steps - 1}, a step of the schedule")
    scheduler = ddim_scheduler(scheduler)
    scheduler.set_timesteps(num_inference_steps)
    latents = latents.float()
    for step, timestep in enumerate(scheduler.timesteps[start:], 1):
        if guidance_scale == 1:
            noise_pred = predict_noise(unet, latents, timestep, prompt_embeds, condition)
        else:
            halves = [(negative_prompt_embeds, negative_condition), (prompt_embeds, condition)]
            negative, positive = _predict_halves(unet, latents, timestep, halves, split_guidance)
            noise_pred = negative + guidance_scale * (positive - negative)
        latents = scheduler.step(noise_pred, timestep, latents, eta=eta, generator=generator).prev_sample
        if on_step is not None:
            on_step(step, num_inference_steps - start)
    return latents


def predict_noise(
    unet: Any, latents: Tensor, timestep: Tensor, prompt_embeds: Tensor, condition: Condition | None = None
) -> Tensor:
    """The UNet's output as float32: noise, or v for a v-prediction model. Sets the UNet's num_frames.

    Args:
        unet: inflated or not.
        latents: (b f) c h w.
        timestep: one for all, or b.
        prompt_embeds: b n d.
        condition: SDXL only.
    """
    num_frames, rest = divmod(len(latents), len(prompt_embeds))
    if rest:
        raise ValueError(f"{len(latents)} latents for {len(prompt_embeds)} prompts; expected as many frames for each")
    set_num_frames(unet, num_frames)
    timestep = timestep.to(latents.device).expand(len(prompt_embeds)).repeat_interleave(num_frames)
    context = prompt_embeds.to(unet.dtype).repeat_interleave(num_frames, 0)
    added = {name: value.repeat_interleave(num_frames, 0) for name, value in (condition or {}).items()}
    with _autocast(unet):
        noise_pred: Tensor = unet(latents.to(unet.dtype), timestep, context, added_cond_kwargs=added or None).sample
    return noise_pred.float()


def _autocast(unet: Any) -> AbstractContextManager[Any]:
    """For a UNet in half precision whose tuned weights are float32, as tuning leaves them."""
    if len({parameter.dtype for parameter in unet.parameters()}) == 1:
        return nullcontext()
    return torch.autocast(unet.device.type, unet.dtype)


def _predict_halves(
    unet: Any, latents: Tensor, timestep: Tensor, halves: list[tuple[Any, Any]], split: bool
) -> tuple[Tensor, Tensor]:
    if split:
        negative, positive = (predict_noise(unet, latents, timestep, *half) for half in halves)
        return negative, positive
    prompts = torch.cat([prompt for prompt, _ in halves])
    conditions = [condition for _, condition in halves if condition]
    condition = {name: torch.cat([part[name] for part in conditions]) for name in (conditions or [{}])[0]}
    negative, positive = predict_noise(unet, latents.repeat(2, 1, 1, 1), timestep, prompts, condition).chunk(2)
    return negative, positive
