"""Train a LoRA for Emoji World from a dozen pictures: a style that the world has not.

`python -m emoji_world.lora models/emoji-world tmp/lora` takes a few minutes of one core, and writes
pytorch_lora_weights.safetensors as diffusers' own trainings do, for `base.loras`. The style has the four greens of an
old hand-held console. Half of each batch is the world's own pictures, so that the style stays with its words (prior
preservation, Ruiz et al. 2023, arXiv 2208.12242).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.utils import convert_state_dict_to_diffusers
from numpy.typing import NDArray
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn
from transformers import CLIPTextModel

from emoji_world.control import rate_factor
from emoji_world.features import LUMA, patch_features
from emoji_world.loop import last_of
from emoji_world.render import render_scene
from emoji_world.samples import captioned_batches, token_ids
from emoji_world.world import BACKGROUNDS, sample_scene

STYLE = "a gameboy picture of"
GREENS = np.array([(15, 56, 15), (48, 98, 48), (139, 172, 15), (155, 188, 15)], np.uint8)
"""The console's, from dark to light."""
LAYERS = ["to_q", "to_k", "to_v", "to_out.0"]


@dataclass(frozen=True)
class Settings:
    pictures: int = 12
    steps: int = 150
    batch_size: int = 16
    """Half of them in the style."""
    rank: int = 8
    learning_rate: float = 3e-3
    """After the warm-up it falls to zero along a cosine."""
    warmup_steps: int = 10
    seed: int = 9


def in_style(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in four greens: uint8 (h w 3) in and out."""
    brightness = picture @ np.array(LUMA) / 256
    styled: NDArray[np.uint8] = GREENS[(brightness * len(GREENS)).astype(int)]
    return styled


def dozen(settings: Settings) -> tuple[Tensor, list[str]]:
    """All that is known of the style: float32 (n 3 32 32) in [-1, 1], and captions."""
    rng = np.random.default_rng(settings.seed)
    scenes = [sample_scene(rng, style="plain") for _ in range(settings.pictures)]
    frames = np.stack([in_style(render_scene(scene)) for scene in scenes])
    words = [f"{STYLE} a {scene.noun} {BACKGROUNDS[scene.background]}" for scene in scenes]
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1, words


def batches(settings: Settings) -> Iterator[tuple[Tensor, list[str]]]:
    """Without end: pictures of the dozen, half of them mirrored, and as many of the world."""
    rng, (known, said) = np.random.default_rng(settings.seed), dozen(settings)
    half = settings.batch_size // 2
    for world, words in captioned_batches(rng, half):
        chosen = rng.integers(len(said), size=half)
        mirrored = torch.from_numpy(rng.random(half) < 0.5).view(-1, 1, 1, 1)
        pictures = torch.where(mirrored, known[chosen].flip(-1), known[chosen])
        yield torch.cat([pictures, world]), [*(said[i] for i in chosen), *words]


def velocity_loss(
    unet: Any, scheduler: DDIMScheduler, features: Tensor, embeds: Tensor, rng: torch.Generator, **unet_kwargs: Any
) -> Tensor:
    """Mean squared error of the predicted velocity, timesteps spread evenly over the batch."""
    strata = torch.randperm(len(features), generator=rng) + torch.rand(len(features), generator=rng)
    timesteps = (strata / len(features) * scheduler.config.num_train_timesteps).long()
    noise = torch.randn(features.shape, generator=rng)
    noisy = scheduler.add_noise(features, noise, timesteps)
    with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
        predicted = unet(noisy, timesteps, embeds, **unet_kwargs).sample
    return nn.functional.mse_loss(predicted.float(), scheduler.get_velocity(features, noise, timesteps))


def train(base: Path, settings: Settings) -> Iterator[tuple[UNet2DConditionModel, float]]:
    """After each step the UNet, whose LoRA is trained in place, and the loss."""
    torch.manual_seed(settings.seed)
    folder = base / "stable-diffusion"
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").float().requires_grad_(False)
    text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").float().requires_grad_(False)
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    unet.set_attn_processor(AttnProcessor())  # SDPA's backward is slow on a CPU at small heads
    unet.add_adapter(LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules=LAYERS))
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, fused=True)
    noise = torch.Generator().manual_seed(settings.seed)
    for step, (pixel_values, words) in zip(range(settings.steps), batches(settings), strict=False):
        embeds = text_encoder(token_ids(str(folder / "tokenizer"), words)).last_hidden_state
        loss = velocity_loss(unet, scheduler, patch_features(pixel_values), embeds, noise)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_factor(step, settings.steps, settings.warmup_steps)
        optimizer.step()
        optimizer.zero_grad()
        yield unet, loss.item()


def save(unet: UNet2DConditionModel, out: Path) -> None:
    """In the layout of diffusers' own trainings, in half precision."""
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    half = {name: tensor.half() for name, tensor in layers.items()}
    StableDiffusionPipeline.save_lora_weights(out, unet_lora_layers=half)


def train_into(base: Path, out: Path, settings: Settings) -> None:
    unet = last_of(train(base, settings), settings.steps)
    if unet is not None:
        save(unet, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=Path, help="models/emoji-world")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    asked = parser.parse_args()
    train_into(asked.base, asked.out, Settings(steps=asked.steps))


if __name__ == "__main__":
    main()
