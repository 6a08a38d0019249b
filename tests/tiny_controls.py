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
