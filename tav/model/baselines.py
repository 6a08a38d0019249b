"""Editing without tuning, on the same base: what Tune-A-Video is compared with. The UNet is the image model's own.

Each is a function from a pipeline and a video's latents, f c h w, to the edited video's latents.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tav.model.ddim import OnStep, Schedule, ddim_invert, ddim_sample, first_step, start_from_noise
from tav.model.denoiser import Network, guided, prompted
from tav.model.latents import decode, encode_moments
from tav.model.plug_and_play import plug_and_play
from tav.model.prompts import Prompts, encode_prompts, join
from tav.model.size import Size
from tav.model.source_branch import SourceBranch

REFERENCE_STEPS, T0, T1 = 50, 44, 47
"""Text2Video-Zero's steps, and those between which its motion is put in (diffusers, TextToVideoZeroPipeline)."""


@dataclass(frozen=True)
class Asked:
    """What is asked of an edit, whatever makes it."""

    prompt: str
    negative_prompt: str
    inversion_prompt: str
    num_inference_steps: int
    strength: float
    guidance_scale: float
    seed: int
    caption: str = ""
    """Of the source: what flow editing leads away from."""


def per_frame_ddim(pipe: Any, clean: Tensor, asked: Asked, on_step: OnStep | None = None) -> Tensor:
    """Each frame inverted and edited alone, as a picture (Tune-A-Video's inversion without its video model)."""
    inversion, denoise = _prompts(pipe, clean, asked)
    schedule = Schedule.of(pipe.scheduler, asked.num_inference_steps)
    inverted = ddim_invert(prompted(Network(pipe.unet), inversion), schedule, clean)
    part = schedule.from_step(first_step(asked.strength, len(schedule)))
    return ddim_sample(denoise, part, inverted.at(len(part)), on_step=on_step)


def per_frame_sdedit(pipe: Any, clean: Tensor, asked: Asked, on_step: OnStep | None = None) -> Tensor:
    """Each frame noised and denoised alone (Meng et al. 2022); each has a noise of its own."""
    _, denoise = _prompts(pipe, clean, asked)
    schedule = Schedule.of(pipe.scheduler, asked.num_inference_steps)
    part = schedule.from_step(first_step(asked.strength, len(schedule)))
    noisy = start_from_noise(clean, part, pure=len(part) == len(schedule), seed=asked.seed)
    return ddim_sample(denoise, part, noisy.to(clean.device), on_step=on_step)


def per_frame_plug_and_play(pipe: Any, clean: Tensor, asked: Asked, on_step: OnStep | None = None) -> Tensor:
    """Each frame inverted and edited alone, on its own features and self-attention (Tumanyan et al. 2022)."""
    inversion, negative, target = _each_frame(pipe, clean, asked)
    network, schedule = Network(pipe.unet), Schedule.of(pipe.scheduler, asked.num_inference_steps)
    inverted = ddim_invert(prompted(network, inversion), schedule, clean)
    part = schedule.from_step(first_step(asked.strength, len(schedule)))
    branch = SourceBranch(network, inverted, inversion, target, negative, asked.guidance_scale)
    with plug_and_play(pipe.unet, branch):
        return ddim_sample(branch, part, inverted.at(len(part)), on_step=on_step)


def text2video_zero(pipe: Any, clean: Tensor, asked: Asked, on_step: OnStep | None = None) -> Tensor:
    """A new video of the prompt, which drifts across the picture. Nothing of the source but its size (so no edit).

    Khachatryan et al. 2023, by diffusers' own pipeline. Its motion is 12 pixels of 512 a frame, both ways.
    Raises ValueError: SDXL, a single frame, or no guidance.
    """
    from diffusers import TextToVideoZeroPipeline

    if getattr(pipe, "text_encoder_2", None) is not None:
        raise ValueError("text2video-zero takes Stable Diffusion 1 or 2; the base is SDXL")
    if asked.guidance_scale == 1 or len(clean) == 1:
        got = f"guidance_scale {asked.guidance_scale:g} and {len(clean)} frames"
        raise ValueError(f"text2video-zero got {got}; expected guidance above 1 and 2 frames or more")
    parts = {name: getattr(pipe, name) for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
    zero = TextToVideoZeroPipeline(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    zero.set_progress_bar_config(disable=True)
    steps = asked.num_inference_steps
    t1 = max(1, min(steps - 1, round(T1 * steps / REFERENCE_STEPS)))
    t0 = min(t1 - 1, round(T0 * steps / REFERENCE_STEPS))
    num_frames, _, height, width = clean.shape
    latents: Tensor = zero(
        asked.prompt,
        negative_prompt=asked.negative_prompt,
        video_length=num_frames,
        height=height * pipe.vae_scale_factor,
        width=width * pipe.vae_scale_factor,
        num_inference_steps=steps,
        guidance_scale=asked.guidance_scale,
        t0=t0,
        t1=t1,
        generator=torch.Generator(clean.device).manual_seed(asked.seed),
        output_type="latent",
    ).images
    if on_step is not None:
        on_step(steps, steps)
    return latents.float()


BASELINES: dict[str, Callable[..., Tensor]] = {
    "per-frame-ddim": per_frame_ddim,
    "per-frame-sdedit": per_frame_sdedit,
    "per-frame-plug-and-play": per_frame_plug_and_play,
    "text2video-zero": text2video_zero,
}


def edit_frames(method: str, pipe: Any, frames: np.ndarray, asked: Asked, on_step: OnStep | None = None) -> np.ndarray:
    """A video edited by a baseline: uint8 (f h w 3), as `frames`, the source. Raises ValueError."""
    if method not in BASELINES:
        raise ValueError(f"there is no method {method!r}; expected one of {', '.join(BASELINES)}")
    clean = encode_moments(pipe.vae, frames).mean.to(pipe.device)
    return decode(pipe.vae, BASELINES[method](pipe, clean, asked, on_step))


def _prompts(pipe: Any, clean: Tensor, asked: Asked) -> tuple[Prompts, Any]:
    """The inversion's prompt for each frame, and a guided denoiser of all frames at once, each a video of its own."""
    inversion, negative, target = _each_frame(pipe, clean, asked)
    return inversion, guided(Network(pipe.unet), target, negative, asked.guidance_scale)


def _each_frame(pipe: Any, clean: Tensor, asked: Asked) -> list[Prompts]:
    """The prompts of the inversion, of what guidance leads away from, and of the edit, each once a frame."""
    size = Size(*(side * pipe.vae_scale_factor for side in clean.shape[-2:]))
    texts = [asked.inversion_prompt, asked.negative_prompt, asked.prompt]
    return [join([p] * len(clean)) for p in encode_prompts(pipe, texts, size)]
