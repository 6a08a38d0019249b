"""Tiny ControlNets and T2I-Adapters of diffusers' own classes, for the tiny bases: VAE of factor 4, two levels."""

from pathlib import Path

import torch


def tiny_controlnet(folder: Path, base: Path, *, seed: int = 0, factor: int = 4) -> Path:
    """For the UNet of a tiny base. Its outputs are not zero, as those of an untrained one would be."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    levels = {2: (8, 16), 4: (8, 8, 16), 8: (8, 8, 8, 16)}[factor]
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=levels)
    for output in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(output.weight, std=0.1)
    torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=10.0)
    net.save_pretrained(folder)
    return folder


def tiny_adapter(
    folder: Path, *, channels: tuple[int, ...] = (16, 32), kind: str = "full_adapter", in_channels: int = 3
) -> Path:
    """For a tiny base of these widths."""
    from diffusers import T2IAdapter

    torch.manual_seed(0)
    adapter = T2IAdapter(in_channels, list(channels), num_res_blocks=1, downscale_factor=4, adapter_type=kind)
    adapter.save_pretrained(folder)
    return folder


def tiny_ip_adapter(folder: Path, base: Path, *, plus: bool = False, seed: int = 0) -> Path:
    """For a tiny base, laid out as h94/IP-Adapter is. It counts for as much as the prompt does."""
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention import BasicTransformerBlock
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=8,
        projection_dim=12,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "models/image_encoder")
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    width = unet.config.cross_attention_dim
    state = _plus_projection(width) if plus else _projection(width)
    # in the order in which diffusers counts them, the odd ones
    layers = [name.removesuffix(".processor") for name in unet.attn_processors if ".attn2." in name]
    for number, name in enumerate(layers):
        inner = unet.get_submodule(name).to_k.out_features
        for matrix in ("to_k_ip", "to_v_ip"):
            state[f"ip_adapter.{2 * number + 1}.{matrix}.weight"] = torch.randn(inner, width)
    assert len(layers) == sum(isinstance(part, BasicTransformerBlock) for part in unet.modules())
    save_file(state, folder / "models/ip-adapter_sd15.safetensors")
    return folder


def _projection(width: int) -> dict[str, torch.Tensor]:
    """From CLIP's embedding of a picture to four tokens."""
    return {
        "image_proj.proj.weight": torch.randn(4 * width, 12),
        "image_proj.proj.bias": torch.randn(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }


def _plus_projection(width: int) -> dict[str, torch.Tensor]:
    """From CLIP's places of a picture to three tokens: a resampler with one head of 64."""
    made = {"latents": torch.randn(1, 3, 16)}
    for name, shape in {"proj_in": (16, 16), "proj_out": (width, 16)}.items():
        made |= {f"{name}.weight": torch.randn(shape), f"{name}.bias": torch.zeros(shape[0])}
    norms = {"norm_out": width}
    for layer in range(4):
        place = f"layers.{layer}"
        norms |= {f"{place}.0.norm1": 16, f"{place}.0.norm2": 16, f"{place}.1.0": 16}
        for name, shape in {
            "0.to_q": (64, 16),
            "0.to_kv": (128, 16),
            "0.to_out": (16, 64),
            "1.1": (64, 16),
            "1.3": (16, 64),
        }.items():
            made[f"{place}.{name}.weight"] = torch.randn(shape) / 4
    for name, size in norms.items():
        made |= {f"{name}.weight": torch.ones(size), f"{name}.bias": torch.zeros(size)}
    return {f"image_proj.{name}": tensor for name, tensor in made.items()}
