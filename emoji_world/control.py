"""Train a ControlNet or a T2I-Adapter for Emoji World: pictures that follow edges.

`python -m emoji_world.control controlnet models/emoji-world tmp/control/controlnet` takes about five minutes of one
core, and writes a folder that diffusers loads. It sees still pictures and no video. models/emoji-world/controlnet was
made so, and then rounded to float16. No T2I-Adapter is shipped: benchmarks/control.py trains one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel, DDIMScheduler, T2IAdapter, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel

from emoji_world.features import patch_features
from emoji_world.loop import last_of
from emoji_world.samples import captioned_batches, token_ids

Kind = Literal["controlnet", "t2i-adapter"]
THRESHOLDS = (60, 140)
"""Canny's, for pictures of 32 pixels. `condition.canny` of params.yaml must be the same."""
LEVELS = (16, 32)
"""Channels of the ControlNet's way from pixels to latents: one halving between the two."""


@dataclass(frozen=True)
class Settings:
    steps: int = 450
    batch_size: int = 32
    learning_rate: float = 1e-3
    """After the warm-up it falls to zero along a cosine."""
    warmup_steps: int = 20
    caption_dropout: float = 0.1
    seed: int = 5


def new_model(kind: Kind, unet: UNet2DConditionModel) -> Any:
    """A network that does not change the pictures yet (a T2I-Adapter does, a little)."""
    if kind == "controlnet":
        return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=LEVELS)
    return T2IAdapter(in_channels=3, channels=list(unet.config.block_out_channels), downscale_factor=2)


def edge_maps(pixel_values: Tensor) -> Tensor:
    """Canny edges of pictures: b 3 h w in [-1, 1] to float32 b 3 h w, 0 or 1."""
    frames = ((pixel_values + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    edges = [cv2.Canny(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), *THRESHOLDS) for frame in frames]
    return torch.from_numpy(np.stack(edges)).float()[:, None].expand(-1, 3, -1, -1) / 255


def velocity_loss(
    unet: Any,
    model: Any,
    scheduler: DDIMScheduler,
    features: Tensor,
    embeds: Tensor,
    maps: Tensor,
    rng: torch.Generator,
) -> Tensor:
    """Mean squared error of the predicted velocity, timesteps spread evenly over the batch."""
    strata = torch.arange(len(features)) + torch.rand(len(features), generator=rng)
    timesteps = (strata / len(features) * scheduler.config.num_train_timesteps).long()
    noise = torch.randn(features.shape, generator=rng)
    noisy = scheduler.add_noise(features, noise, timesteps)
    with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
        if isinstance(model, ControlNetModel):
            down, mid = model(noisy, timesteps, embeds, maps, return_dict=False)
            more = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        else:
            more = {"down_intrablock_additional_residuals": list(model(maps))}
        predicted = unet(noisy, timesteps, embeds, **more).sample
    return nn.functional.mse_loss(predicted.float(), scheduler.get_velocity(features, noise, timesteps))


def train(kind: Kind, base: Path, settings: Settings) -> Iterator[tuple[Any, float]]:
    """After each step the network, which is trained in place, and the loss."""
    torch.manual_seed(settings.seed)
    folder = base / "stable-diffusion"
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").float()
    text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").float().requires_grad_(False)
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    model = new_model(kind, unet)
    unet.requires_grad_(False)
    for network in (unet, model) if kind == "controlnet" else (unet,):
        network.set_attn_processor(AttnProcessor())  # SDPA's backward is slow on a CPU at small heads
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, fused=True)
    rng, noise = np.random.default_rng(settings.seed), torch.Generator().manual_seed(settings.seed)
    batches = captioned_batches(rng, settings.batch_size, settings.caption_dropout)
    for step, (pixel_values, words) in zip(range(settings.steps), batches, strict=False):
        embeds = text_encoder(token_ids(str(folder / "tokenizer"), words)).last_hidden_state
        maps = edge_maps(pixel_values)
        loss = velocity_loss(unet, model, scheduler, patch_features(pixel_values), embeds, maps, noise)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_factor(step, settings.steps, settings.warmup_steps)
        optimizer.step()
        optimizer.zero_grad()
        yield model, loss.item()


def rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    warmed = min(1.0, (step + 1) / warmup_steps)
    return warmed * (0.5 + 0.5 * cos(pi * step / steps))


def train_into(kind: Kind, base: Path, out: Path, settings: Settings) -> None:
    """Train and write, in float32 as it was trained."""
    model = last_of(train(kind, base, settings), settings.steps)
    if model is not None:
        model.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["controlnet", "t2i-adapter"])
    parser.add_argument("base", type=Path, help="models/emoji-world")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    asked = parser.parse_args()
    train_into(asked.kind, asked.base, asked.out, Settings(steps=asked.steps))


if __name__ == "__main__":
    main()
