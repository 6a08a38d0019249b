"""The real bases' networks by their shapes alone, for expected.py: meta tensors, no weights, nothing from the hub."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from real_size import REAL, build
from transformers import CLIPTextConfig, CLIPTextModel


def sd14() -> SimpleNamespace:
    """Stable Diffusion 1.4 and 1.5."""
    return build(REAL, "meta", torch.float32)


def sd21() -> SimpleNamespace:
    """Stable Diffusion 2.1: more heads, linear projections, OpenCLIP ViT-H's text encoder without its last layer."""
    unet: dict[str, Any] = {
        "sample_size": 96,
        "block_out_channels": (320, 640, 1280, 1280),
        "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    }
    with torch.device("meta"):
        return SimpleNamespace(
            unet=UNet2DConditionModel(**unet), vae=_vae(), text_encoder=_text(width=1024, layers=23, heads=16)
        )


def xl() -> SimpleNamespace:
    """Stable Diffusion XL 1.0: no attention at the first level, ten transformers at the third, two text encoders."""
    unet: dict[str, Any] = {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    }
    with torch.device("meta"):
        return SimpleNamespace(
            unet=UNet2DConditionModel(**unet),
            vae=_vae(),
            text_encoder=_text(width=768, layers=12, heads=12),
            text_encoder_2=_text(width=1280, layers=32, heads=20),
        )


BASES: dict[str, tuple[Callable[[], SimpleNamespace], int]] = {
    "sd14": (sd14, 512),
    "sd21": (sd21, 768),
    "xl": (xl, 1024),
}
"""How to build each, and the side in pixels that it was trained at."""


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )


def _text(width: int, layers: int, heads: int) -> CLIPTextModel:
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "projection_dim": width, "vocab_size": 49408}
    return CLIPTextModel(CLIPTextConfig(num_hidden_layers=layers, num_attention_heads=heads, **sizes))
