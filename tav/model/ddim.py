"""DDIM, both ways: a video's latents to noise, and noise to an edited video (paper, section 4.2; Song et al. 2021).

Latents are `(b f) c h w` and there is a prompt for each of the b videos: the number of frames follows from the two.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDIMInverseScheduler
from torch import Tensor

from tav.model.inflation import set_num_frames
from tav.model.pretrained import ddim_scheduler
from tav.model.prompts import Condition, Prompts, join

OnStep = Callable[[int, int], None]
"""Called after each step with the number of steps done and of all."""


def first_step(strength: float, num_inference_steps: int) -> int:
    """The first step that is denoised. Of 50 steps, strength 1.0 starts at 0 and 0.5 at 25."""
    return num_inference_steps - max(1, min(num_inference_steps, int(num_inference_steps * strength + 1e-6)))


def start_latents(inverted: Tensor, scheduler: Any, *, strength: float, from_noise: bool, seed: int) -> Tensor:
    """Latents to start an edit from: float32, f c h w.

    From noise takes none of the inversion: pure noise, or for a strength below 1 the clean latents with that step's
    share of noise (as SDEdit does).

    Args:
        inverted: from `ddim_invert`.
        scheduler: the model's.
        strength: see `first_step`.
        from_noise: and not from the inversion.
        seed: of the noise.
    """
    steps = len(inverted) - 1
    start = first_step(strength, steps)
    if not from_noise:
        return inverted[steps - start]
    noise = torch.randn(inverted.shape[1:], generator=torch.Generator().manual_seed(seed)).to(inverted.device)
    if start == 0:
        return noise
    scheduler.set_timesteps(steps)
    noised: Tensor = scheduler.add_noise(inverted[0], noise, scheduler.timesteps[start : start + 1])
    return noised


@torch.no_grad()
def ddim_invert(
    unet: Any,
    scheduler: Any,
    latents: Tensor,
    prompts: Prompts,
    num_inference_steps: int,
    *,
    on_step: OnStep | None = None,
) -> Tensor:
    """Latents of a video to latents that sampling leads back to it (paper, section 4.2).

    The official code (util.py, next_step) takes every model for an epsilon-prediction one; here the scheduler's
    `prediction_type` counts, so that v-prediction models (SD 2.1) are inverted right.

    Args:
        unet: inflated; or an image UNet, which sees each frame alone.
        scheduler: the model's, of any class: its config counts.
        latents: (b f) c h w, scaled.
        prompts: one a video. The official code takes the empty prompt.
        num_inference_steps: of this and of the sampling that follows.
        on_step: see OnStep.

    Returns:
        float32, (num_inference_steps + 1) (b f) c h w: the start, then the latents after each step. Sampling from
        index `start` begins with the latents at `-1 - start`.

    Raises:
        FloatingPointError: they are not finite.
    """
    inverse = DDIMInverseScheduler.from_config(ddim_scheduler(scheduler).config)
    inverse.set_timesteps(num_inference_steps)
    trajectory = [latents.float()]
    for step, timestep in enumerate(inverse.timesteps, 1):
        noise_pred = predict_noise(unet, trajectory[-1], timestep, *prompts)
        trajectory.append(inverse.step(noise_pred, timestep, trajectory[-1]).prev_sample)
        if on_step is not None:
            on_step(step, num_inference_steps)
    _check_finite(trajectory[-1], unet)
    return torch.stack(trajectory)


@torch.no_grad()
def ddim_sample(
    unet: Any,
    scheduler: Any,
    latents: Tensor,
    prompts: Prompts,
    negative_prompts: Prompts | None = None,
    *,
    num_inference_steps: int,
    guidance_scale: float = 12.5,
    start: int = 0,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    split_guidance: bool = False,
    on_step: OnStep | None = None,
) -> Tensor:
    """Noise, or inverted latents, to latents of an edited video, with classifier-free guidance.

    Args:
        unet: inflated; or an image UNet, which sees each frame alone.
        scheduler: the model's, of any class: its config counts.
        latents: (b f) c h w, at the noise of step `start`.
        prompts: one a video, the target prompt.
        negative_prompts: one a video, negative or empty. Not used at guidance 1.
        num_inference_steps: of the whole schedule.
        guidance_scale: 1 is no guidance and costs half.
        start: the first step's index. Steps before it are left out (`strength` < 1).
        eta: 0 is DDIM; above it adds noise from `generator`.
        generator: for `eta`.
        split_guidance: run the two halves of guidance one after the other, for half the memory.
        on_step: see OnStep.

    Returns:
        float32, (b f) c h w.

    Raises:
        FloatingPointError: they are not finite.
    """
    if guidance_scale != 1 and negative_prompts is None:
        raise ValueError(f"guidance_scale is {guidance_scale}; expected negative_prompts, or guidance_scale 1")
    if not 0 <= start < num_inference_steps:
        raise ValueError(f"start is {start}; expected 0 to {num_inference_steps - 1}, a step of the schedule")
    scheduler = ddim_scheduler(scheduler)
    scheduler.set_timesteps(num_inference_steps)
    latents = latents.float()
    for step, timestep in enumerate(scheduler.timesteps[start:], 1):
        if guidance_scale == 1 or negative_prompts is None:
            noise_pred = predict_noise(unet, latents, timestep, *prompts)
        else:
            halves = [negative_prompts, prompts]
            negative, positive = _predict_halves(unet, latents, timestep, halves, split_guidance)
            noise_pred = negative + guidance_scale * (positive - negative)
        latents = scheduler.step(noise_pred, timestep, latents, eta=eta, generator=generator).prev_sample
        if on_step is not None:
            on_step(step, num_inference_steps - start)
    _check_finite(latents, unet)
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
    dtype = unet.conv_in.weight.dtype  # unet.dtype takes milliseconds
    context = prompt_embeds.to(latents.device, dtype).repeat_interleave(num_frames, 0)
    added = {
        name: value.to(latents.device).repeat_interleave(num_frames, 0) for name, value in (condition or {}).items()
    }
    noise_pred: Tensor = unet(latents.to(dtype), timestep, context, added_cond_kwargs=added or None).sample
    return noise_pred.float()


def _check_finite(latents: Tensor, unet: Any) -> None:
    """NaN would be a black video. Looked at once, since it stays once it is there."""
    if not latents.isfinite().all():
        raise FloatingPointError(
            f"the latents are not finite: the UNet in {str(unet.conv_in.weight.dtype)[6:]} gives NaN or infinity. "
            "A precision of bf16 or fp32 may help"
        )


def _predict_halves(
    unet: Any, latents: Tensor, timestep: Tensor, halves: list[Prompts], split: bool
) -> tuple[Tensor, Tensor]:
    if split:
        negative, positive = (predict_noise(unet, latents, timestep, *half) for half in halves)
    else:
        negative, positive = predict_noise(unet, latents.repeat(2, 1, 1, 1), timestep, *join(halves)).chunk(2)
    return negative, positive
