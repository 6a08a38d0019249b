"""What the latents of the world at 64 pixels are: the low DCT coefficients of 4x4 patches.

Six of brightness, and the mean of each of the two colour differences. The rest (fine detail) is
noise to a UNet as small as this one; the VAE's decoder is to draw it. As with the 2x2 patches of
`emoji_world/features.py` the diffusion model can be trained before the VAE is done.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor

from emoji_world.features import LUMA

PATCH = 4  # px
FREQUENCIES = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0))  # down, across
NUM_FEATURES = len(FREQUENCIES) + 2  # of brightness; blue and red difference
# Of 2000 renders: mean and std of each feature; then the std that it shall have.
MEANS = (-1.249, 0.0, 0.0, 0.0, 0.0, 0.0, 0.154, 0.026)
STDS = (1.696, 0.435, 0.435, 0.244, 0.187, 0.187, 0.361, 0.272)
WANTED = (1.2, 0.6, 0.6, 0.4, 0.4, 0.4, 0.6, 0.6)


@lru_cache
def _basis() -> Tensor:
    """(6 16): each a pattern of a patch's pixels; they are orthonormal."""
    places = torch.arange(PATCH) + 0.5
    waves = torch.stack([torch.cos(torch.pi * k * places / PATCH) for k in range(PATCH)])
    waves = waves / waves.norm(dim=1, keepdim=True)
    return torch.stack([torch.outer(waves[down], waves[across]).flatten() for down, across in FREQUENCIES])


def patch_features(pixel_values: Tensor) -> Tensor:
    """Fixed linear features of 4x4 patches.

    Args:
        pixel_values: float (b 3 h w) in [-1, 1]; h and w multiples of 4.

    Returns:
        float (b 8 h/4 w/4), mean near 0 and std 0.4 to 1.2: what the VAE's scaled latents shall be.
    """
    luma = torch.einsum("bchw,c->bhw", pixel_values, pixel_values.new_tensor(LUMA))
    patches = rearrange(luma, "b (h y) (w x) -> b (y x) h w", y=PATCH, x=PATCH)
    brightness = torch.einsum("fp,bphw->bfhw", _basis().to(luma), patches)
    differences = torch.stack([pixel_values[:, 2] - luma, pixel_values[:, 0] - luma], dim=1)
    means = torch.nn.functional.avg_pool2d(differences, PATCH)
    return (torch.cat([brightness, means], dim=1) - _row(MEANS, luma)) * _scales(luma)


def _scales(like: Tensor) -> Tensor:
    return _row(WANTED, like) / _row(STDS, like)


def _row(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values)[:, None, None]


def unpatch_features(features: Tensor) -> Tensor:
    """The picture that has these features, without fine detail: (b 8 h w) -> (b 3 4h 4w)."""
    plain = features / _scales(features) + _row(MEANS, features)
    count = len(FREQUENCIES)
    patches = torch.einsum("fp,bfhw->bphw", _basis().to(plain), plain[:, :count])
    luma = rearrange(patches, "b (y x) h w -> b 1 (h y) (w x)", y=PATCH, x=PATCH)
    colours = torch.nn.functional.interpolate(plain[:, count:], scale_factor=PATCH, mode="bilinear")
    blue, red = luma + colours[:, :1], luma + colours[:, 1:]
    green = (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return torch.cat([red, green, blue], dim=1)
