"""What the latents of Emoji World are: brightness in full, colour at half resolution.

Like 4:2:0 video. The VAE is trained to give these fixed linear features of 2x2 patches, so the
diffusion model can be trained before the VAE is done. Details and colours are small (std 0.5 and
0.6 beside 1.2 for brightness): the place of the subject, which every noun marks alike, then weighs
more than its looks, and inversion keeps it when the noun changes.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

NUM_FEATURES = 6  # mean; differences across, down, diagonal; blue and red difference
# Of 400 renders: mean and std of each feature, then the std that it shall have.
MEANS = (-0.28, 0.0, 0.0, 0.0, 0.055, 0.033)
SCALES = (1.2 / 0.46, 0.5 / 0.113, 0.5 / 0.113, 0.5 / 0.065, 0.6 / 0.2, 0.6 / 0.2)

LUMA = (0.299, 0.587, 0.114)


def patch_features(pixel_values: Tensor) -> Tensor:
    """Fixed linear features of 2x2 patches.

    Args:
        pixel_values: float (b 3 h w) in [-1, 1]; h and w even.

    Returns:
        float (b 6 h/2 w/2), mean near 0 and std 0.5 to 1.2: what the VAE's scaled latents shall be.
    """
    luma = torch.einsum("bchw,c->bhw", pixel_values, pixel_values.new_tensor(LUMA))
    patches = rearrange(luma, "b (h y) (w x) -> (y x) b h w", y=2, x=2)
    signs = luma.new_tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 4
    details = torch.einsum("fp,pbhw->bfhw", signs, patches)
    chroma = torch.stack([pixel_values[:, 2] - luma, pixel_values[:, 0] - luma], dim=1)
    halved = torch.nn.functional.avg_pool2d(chroma, 2) * 0.6
    features = torch.cat([details, halved], dim=1)
    return (features - _row(MEANS, features)) * _row(SCALES, features)


def _row(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values)[:, None, None]


def unpatch_features(features: Tensor) -> Tensor:
    """The picture that has these features and smooth colours: (b 6 h w) -> (b 3 2h 2w)."""
    plain = features / _row(SCALES, features) + _row(MEANS, features)
    signs = plain.new_tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    patches = torch.einsum("fp,bfhw->pbhw", signs, plain[:, :4])
    luma = rearrange(patches, "(y x) b h w -> b 1 (h y) (w x)", y=2, x=2)
    chroma = torch.nn.functional.interpolate(plain[:, 4:] / 0.6, scale_factor=2, mode="bilinear")
    blue, red = luma + chroma[:, :1], luma + chroma[:, 1:]
    green = (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return torch.cat([red, green, blue], dim=1)


def worn(pixel_values: Tensor) -> Tensor:
    """Half of the pictures as a VAE could give them: noise in the latents, colours smooth. (b 3 h w) -> same."""
    features = patch_features(pixel_values)
    strength = torch.rand(len(features), 1, 1, 1) * 0.2
    decoded = unpatch_features(features + strength * torch.randn_like(features))
    return torch.where(torch.rand(len(features), 1, 1, 1) < 0.5, decoded, pixel_values)
