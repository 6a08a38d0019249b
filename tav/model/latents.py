"""Frames to latents and back, through the VAE. Latents are scaled: what the UNet sees."""

from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor


class Moments(NamedTuple):
    """Posterior of the latents, scaled. float32, f c h w."""

    mean: Tensor
    std: Tensor


@torch.no_grad()
def encode_moments(vae: Any, frames: np.ndarray, *, slice_size: int = 1) -> Moments:
    """The VAE's posterior of each frame, once; `sample_latents` then draws from it as often as one likes.

    The official code runs the VAE in every step (train_tuneavideo.py) and scales by 0.18215 whatever the VAE.

    Args:
        vae: AutoencoderKL.
        frames: uint8, f h w 3; h and w multiples of the VAE's factor.
        slice_size: frames encoded at a time.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; expected uint8 (f h w 3)")
    parts = []
    for pixels in torch.split(torch.from_numpy(np.ascontiguousarray(frames)), slice_size):
        pixel_values = rearrange(pixels, "f h w c -> f c h w").to(vae.device, _vae_dtype(vae)) / 127.5 - 1
        posterior = vae.encode(pixel_values).latent_dist
        parts.append((posterior.mean.float(), posterior.std.float()))
    mean, std = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    shift, scale = _shift_and_scale(vae)
    return Moments((mean - shift) * scale, std * scale)


def sample_latents(moments: Moments, generator: torch.Generator) -> Tensor:
    """A draw from the posterior: float32, f c h w. The noise is drawn on the generator's device."""
    mean, std = moments
    noise = torch.randn(mean.shape, generator=generator, device=generator.device)
    return mean + std * noise.to(mean.device)


def decode(vae: Any, latents: Tensor, *, slice_size: int = 1) -> np.ndarray:
    """Latents, f c h w, to frames: uint8, f h w 3."""
    pixels = decode_pixels(vae, latents, slice_size=slice_size)
    frames = rearrange((pixels * 255).round().to("cpu", torch.uint8), "f c h w -> f h w c")
    return np.ascontiguousarray(frames.numpy())


@torch.no_grad()
def decode_pixels(vae: Any, latents: Tensor, *, slice_size: int = 1) -> Tensor:
    """Latents, f c h w, to pixels: float32 in [0, 1], f c h w, on the VAE's device."""
    shift, scale = _shift_and_scale(vae)
    latents = (latents.to(vae.device) / scale + shift).to(_vae_dtype(vae))
    decoded = torch.cat([vae.decode(part).sample.float() for part in torch.split(latents, slice_size)])
    return (decoded / 2 + 0.5).clamp(0, 1)


def _shift_and_scale(vae: Any) -> tuple[float, float]:
    return vae.config.get("shift_factor") or 0.0, vae.config.scaling_factor


def _vae_dtype(vae: Any) -> torch.dtype:
    """Some VAEs (SDXL's) overflow in half precision, and say so: they are made float32, in place."""
    if vae.dtype == torch.float16 and vae.config.get("force_upcast"):
        vae.float()
    dtype: torch.dtype = vae.dtype
    return dtype
