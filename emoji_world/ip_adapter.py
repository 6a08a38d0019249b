"""Train an IP-Adapter for Emoji World: pictures that take a hue and a thing from another picture.

`python -m emoji_world.ip_adapter models/emoji-world tmp/ip-adapter` takes some minutes of one core, and writes a folder
laid out as h94/IP-Adapter is, for `edit.reference`. Each picture is learned beside another of the same thing, hue,
style and background, in another place; the caption never names the hue. The image encoder is the world's own CLIP. It
sees still pictures and no video. No part of what is shipped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, IPAdapterAttnProcessor
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextModel, CLIPVisionModelWithProjection

from emoji_world.control import rate_factor
from emoji_world.features import patch_features
from emoji_world.loop import last_of
from emoji_world.lora import velocity_loss
from emoji_world.render import render_scene
from emoji_world.samples import draw, token_ids, training_scenes
from emoji_world.world import Scene, caption, sample_scene

FILE = Path("models/ip-adapter_sd15.safetensors")
ENCODER = Path("models/image_encoder")
TOKENS = 4
"""That a picture becomes. diffusers reads four."""


@dataclass(frozen=True)
class Settings:
    steps: int = 450
    batch_size: int = 32
    learning_rate: float = 1e-3
    """After the warm-up it falls to zero along a cosine."""
    warmup_steps: int = 20
    caption_dropout: float = 0.1
    picture_dropout: float = 0.1
    seed: int = 6


def references(scenes: list[Scene], rng: np.random.Generator) -> list[Scene]:
    """For each scene another of the same thing, hue, style and background, that is elsewhere."""
    free = ("flip", "x", "y", "size", "rotation", "shades")
    others = (sample_scene(rng) for _ in scenes)
    return [
        replace(scene, **{name: getattr(other, name) for name in free})
        for scene, other in zip(scenes, others, strict=True)
    ]


def add_adapter(unet: UNet2DConditionModel, width: int) -> list[nn.Parameter]:
    """An adapter that sees pictures as the prompt is seen, in place; its parameters. width: of an embedding."""
    state: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    inner = unet.config.cross_attention_dim
    state["image_proj"] = {
        "proj.weight": torch.randn(TOKENS * inner, width) * width**-0.5,
        "proj.bias": torch.zeros(TOKENS * inner),
        "norm.weight": torch.ones(inner),
        "norm.bias": torch.zeros(inner),
    }
    for number, layer in enumerate(_cross_attention(unet)):
        for matrix in ("to_k", "to_v"):
            weight = getattr(unet.get_submodule(layer), matrix).weight
            state["ip_adapter"][f"{2 * number + 1}.{matrix}_ip.weight"] = weight.detach().clone()
    unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
    layers = [processor for processor in unet.attn_processors.values() if hasattr(processor, "to_k_ip")]
    for layer in layers:
        layer.__class__ = IPAdapterAttnProcessor  # SDPA's backward is slow on a CPU at small heads
    parameters = [p for part in (unet.encoder_hid_proj, *layers) for p in part.parameters()]
    return [parameter.requires_grad_(True) for parameter in parameters]


def image_encoder(folder: Path) -> Any:
    """The half of a CLIP that sees pictures, with the width that its two halves meet in."""
    config = CLIPConfig.from_pretrained(folder)
    config.vision_config.projection_dim = config.projection_dim
    encoder: Any = CLIPVisionModelWithProjection.from_pretrained(folder, config=config.vision_config)
    return encoder.float().requires_grad_(False)


def train(base: Path, settings: Settings) -> Iterator[tuple[UNet2DConditionModel, Any, float]]:
    """After each step the UNet, whose adapter is trained in place, the image encoder, and the loss."""
    torch.manual_seed(settings.seed)
    folder = base / "stable-diffusion"
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").float().requires_grad_(False)
    text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").float().requires_grad_(False)
    encoder = image_encoder(base / "clip")
    scheduler, side = DDIMScheduler.from_pretrained(folder / "scheduler"), encoder.config.image_size
    processor = CLIPImageProcessor(size=side, crop_size=side)  # as diffusers makes it for an adapter
    unet.set_attn_processor(AttnProcessor())
    parameters = add_adapter(unet, encoder.config.projection_dim)
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, fused=True)
    rng, noise = np.random.default_rng(settings.seed), torch.Generator().manual_seed(settings.seed)
    for step in range(settings.steps):
        scenes = training_scenes(rng, settings.batch_size)
        said = [caption(replace(scene, colour=None), rng) for scene in scenes]
        words = ["" if rng.random() < settings.caption_dropout else text for text in said]
        shown = [render_scene(scene) for scene in references(scenes, rng)]
        seen = encoder(processor(shown, return_tensors="pt").pixel_values).image_embeds
        seen[torch.from_numpy(rng.random(len(seen)) < settings.picture_dropout)] = 0
        embeds = text_encoder(token_ids(str(folder / "tokenizer"), words)).last_hidden_state
        more = {"added_cond_kwargs": {"image_embeds": [seen[:, None]]}}
        loss = velocity_loss(unet, scheduler, patch_features(draw(scenes)), embeds, noise, **more)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_factor(step, settings.steps, settings.warmup_steps)
        optimizer.step()
        optimizer.zero_grad()
        yield unet, encoder, loss.item()


def save(unet: UNet2DConditionModel, encoder: Any, out: Path) -> None:
    """As h94/IP-Adapter: the adapter in half precision beside its image encoder."""
    projection = unet.encoder_hid_proj.image_projection_layers[0]
    state = {f"image_proj.proj.{name}": tensor for name, tensor in projection.image_embeds.state_dict().items()}
    state |= {f"image_proj.norm.{name}": tensor for name, tensor in projection.norm.state_dict().items()}
    for number, layer in enumerate(_cross_attention(unet)):
        processor = unet.get_submodule(layer).processor
        for matrix in ("to_k_ip", "to_v_ip"):
            state[f"ip_adapter.{2 * number + 1}.{matrix}.weight"] = getattr(processor, matrix)[0].weight
    (out / FILE).parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().half().contiguous() for name, tensor in state.items()}, out / FILE)
    encoder.half().save_pretrained(out / ENCODER)


def train_into(base: Path, out: Path, settings: Settings) -> None:
    steps = (((unet, encoder), loss) for unet, encoder, loss in train(base, settings))
    made = last_of(steps, settings.steps)
    if made is not None:
        save(*made, out)


def _cross_attention(unet: UNet2DConditionModel) -> list[str]:
    """Its layers' names, in the order in which diffusers counts them."""
    return [name.removesuffix(".processor") for name in unet.attn_processors if ".attn2." in name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=Path, help="models/emoji-world")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    asked = parser.parse_args()
    train_into(asked.base, asked.out, Settings(steps=asked.steps))


if __name__ == "__main__":
    main()
