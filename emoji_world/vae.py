"""Train Emoji World's AutoencoderKL: `python -m emoji_world.vae models/emoji-world`.

Its latents are fixed features (see features.py), so the diffusion model needs no VAE to be trained.
The decoder learns from samples: fed means alone, it would not know what to do with samples.
"""

from __future__ import annotations

import sys
from math import log
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from emoji_world.features import NUM_FEATURES, patch_features
from emoji_world.loop import fit
from emoji_world.samples import draw, training_scenes
from emoji_world.settings import load_settings

SCALING_FACTOR = 0.5
POSTERIOR_STD = 0.04  # of a scaled latent, whose own std is 0.5 to 1.2


def new_vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(32, 64),
        latent_channels=NUM_FEATURES,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=32,
        scaling_factor=SCALING_FACTOR,
    )


def vae_loss(vae: AutoencoderKL, pixel_values: Tensor) -> Tensor:
    """Latents as the features say, posterior as narrow as said, pictures as they were."""
    target = patch_features(pixel_values) / SCALING_FACTOR
    posterior = vae.encode(pixel_values).latent_dist
    std = POSTERIOR_STD / SCALING_FACTOR
    latents = target + torch.randn_like(target) * (1.5 * std)  # half of the steps' error is the encoder's
    decoded = vae.decode(latents).sample
    encoder_loss = (posterior.mean - target).square().mean() + 0.1 * (posterior.logvar - 2 * log(std)).square().mean()
    loss: Tensor = 10 * (decoded - pixel_values).square().mean() + encoder_loss
    return loss


def main(folder: Path) -> None:
    settings = load_settings(folder).vae
    torch.manual_seed(settings.seed)
    rng, vae = np.random.default_rng(settings.seed), new_vae()
    batch = settings.batch_size
    fit(vae, lambda: vae_loss(vae, draw(training_scenes(rng, batch))), settings, folder / ".checkpoints" / "vae.pt")
    vae.half().save_pretrained(folder / "stable-diffusion" / "vae")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
