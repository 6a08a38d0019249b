"""To and from the official code's UNet folders (showlab/Tune-A-Video): config.json and diffusion_pytorch_model.*."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from tav.model.inflation import inflate, is_inflated
from tav.model.tuned_weights import put_tensors, read_safetensors, saved_tensors


def import_official(unet: UNet2DConditionModel, unet_folder: Path) -> None:
    """Put what the official code tuned into a UNet of the same base, in place; it is inflated first if need be.

    Args:
        unet: the base's.
        unet_folder: `unet` of an official output folder: .safetensors, or .bin, which is read without running code.

    Raises:
        FileNotFoundError: no weights there.
        ValueError: they don't fit, or were tuned from another base.
    """
    tensors = _read(unet_folder)
    if not is_inflated(unet):
        inflate(unet)
    tuned = saved_tensors(unet)
    frozen = {name: tensor for name, tensor in unet.state_dict().items() if name not in tuned}
    for name, tensor in frozen.items():
        if name not in tensors or not _same(tensor, tensors[name]):
            raise ValueError(f"{unet_folder} was not tuned from this base: its {name} differs")
    put_tensors(tuned, {name: tensor for name, tensor in tensors.items() if name not in frozen}, unet_folder)


def export_official(unet: UNet2DConditionModel, unet_folder: Path) -> None:
    """Write an inflated UNet, whole, as a folder that the official UNet3DConditionModel.from_pretrained reads."""
    if not is_inflated(unet):
        raise ValueError("export_official got an image UNet; expected an inflated one")
    config: dict[str, Any] = {name: value for name, value in unet.config.items() if not name.startswith("_")}
    for name in ("down_block_types", "up_block_types"):
        config[name] = [block.replace("2D", "3D") for block in config[name]]
    config["mid_block_type"] = config["mid_block_type"].replace("2D", "3D")
    config |= {"_class_name": "UNet3DConditionModel", "_diffusers_version": "0.11.1"}
    unet_folder.mkdir(parents=True, exist_ok=True)
    (unet_folder / "config.json").write_text(json.dumps(config, indent=2))
    state = {name: tensor.cpu() for name, tensor in unet.state_dict().items()}
    torch.save(state, unet_folder / "diffusion_pytorch_model.bin")  # the one format that diffusers 0.11 always reads


def _read(folder: Path) -> dict[str, Tensor]:
    if (folder / "diffusion_pytorch_model.safetensors").is_file():
        return read_safetensors(folder / "diffusion_pytorch_model.safetensors")[1]
    pickle = folder / "diffusion_pytorch_model.bin"
    if not pickle.is_file():
        raise FileNotFoundError(f"{folder} has no diffusion_pytorch_model.safetensors or .bin")
    try:
        tensors: dict[str, Tensor] = torch.load(pickle, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{pickle} is damaged or holds more than tensors: {str(error).splitlines()[0]}") from error
    return tensors


def _same(ours: Tensor, theirs: Tensor) -> bool:
    """Equal, but for the precision that one of the two was saved in."""
    return ours.shape == theirs.shape and torch.allclose(ours.float().cpu(), theirs.float(), rtol=1e-2, atol=1e-3)
