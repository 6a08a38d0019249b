"""Editing with a flow model of video, without inversion and without tuning, on Wan's stock transformer."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tav.model.baselines import Asked
from tav.model.ddim import OnStep, first_step

SOURCE_GUIDANCE = 3.5 / 13.5
"""Of flow editing: guidance by the caption, over that by the prompt (Kulikov et al. 2024, Stable Diffusion 3)."""


@torch.no_grad()
def flow_edit(
    pipe: Any, pictures: list[Any], asked: Asked, generator: torch.Generator, on_step: OnStep | None = None
) -> np.ndarray:
    """Inversion-free editing with a flow model (Kulikov et al. 2024, algorithm 1): float32 (f h w 3), 0 to 1.

    The edit moves by the difference of two velocities, the prompt's and the caption's, at the same noise. Two calls a
    step, each of a pair where there is guidance.

    Args:
        pipe: a WanPipeline.
        pictures: the source's frames, 4n + 1, PIL.
        asked: the prompts and settings.
        generator: of the noise, fresh at each step.
        on_step: (steps done, of how many).
    """
    clean = _encode(pipe, pictures)
    source, target = (
        pipe.encode_prompt(text, asked.negative_prompt, device=pipe.device, dtype=pipe.transformer.dtype)
        for text in (asked.caption, asked.prompt)
    )
    guidance = asked.guidance_scale, max(1.0, asked.guidance_scale * SOURCE_GUIDANCE)
    pipe.scheduler.set_timesteps(asked.num_inference_steps, device=pipe.device)
    sigmas, timesteps = pipe.scheduler.sigmas.to(pipe.device), pipe.scheduler.timesteps
    first = first_step(asked.strength, len(timesteps))
    edited = clean.clone()
    for step in range(first, len(timesteps)):
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = (1 - sigmas[step]) * clean + sigmas[step] * noise
        to_prompt = _velocity(pipe, edited + noisy - clean, timesteps[step], target, guidance[0])
        to_caption = _velocity(pipe, noisy, timesteps[step], source, guidance[1])
        edited = edited + (sigmas[step + 1] - sigmas[step]) * (to_prompt - to_caption)
        if on_step is not None:
            on_step(step - first + 1, len(timesteps) - first)
    return _decode(pipe, edited)


def _velocity(pipe: Any, latents: Tensor, timestep: Tensor, prompts: tuple[Tensor, Tensor], guidance: float) -> Tensor:
    """From video to noise, guided. latents: (1 c f h w). prompts: the text, and what guidance leads away from."""
    texts = torch.cat(prompts if guidance > 1 else prompts[:1])
    velocity: Tensor = pipe.transformer(
        hidden_states=latents.to(pipe.transformer.dtype).expand(len(texts), *latents.shape[1:]),
        timestep=timestep.expand(len(texts)),
        encoder_hidden_states=texts.to(pipe.transformer.dtype),
        return_dict=False,
    )[0].float()
    return velocity[:1] if guidance == 1 else velocity[1:] + guidance * (velocity[:1] - velocity[1:])


def _encode(pipe: Any, pictures: list[Any]) -> Tensor:
    """Wan's latents, (1 c f h w), as its transformer takes them."""
    width, height = pictures[0].size
    pixels = pipe.video_processor.preprocess_video(pictures, height=height, width=width)
    latents = pipe.vae.encode(pixels.to(pipe.device, pipe.vae.dtype)).latent_dist.mode().float()
    mean, std = _statistics(pipe, latents)
    scaled: Tensor = (latents - mean) / std
    return scaled


def _decode(pipe: Any, latents: Tensor) -> np.ndarray:
    mean, std = _statistics(pipe, latents)
    pixels = pipe.vae.decode((latents * std + mean).to(pipe.vae.dtype), return_dict=False)[0]
    frames: np.ndarray = pipe.video_processor.postprocess_video(pixels, output_type="np")[0]
    return frames


def _statistics(pipe: Any, like: Tensor) -> list[Tensor]:
    known = (pipe.vae.config.latents_mean, pipe.vae.config.latents_std)
    return [torch.tensor(values, device=like.device).view(1, -1, 1, 1, 1) for values in known]
