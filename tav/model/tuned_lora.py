"""Tuned weights as a LoRA of the rank that one chooses, and back.

What tuning added to each matrix is cut down to its largest singular values (Eckart and Young: no matrix of that rank is
nearer). The names are those of diffusers ("unet.LAYER.lora_A.weight"), so its `load_lora_weights` reads the file into
the base's UNet: the queries into an image UNet, temporal attention as well into an inflated one (but for its biases,
which are a name of our own: peft can merge no bias where the other layers have none).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from tav.model.pretrained import BaseIdentity
from tav.model.tuned_weights import put_tensors, read_safetensors, saved_tensors, write_safetensors

DOWN, UP, BIAS = ".lora_A.weight", ".lora_B.weight", ".lora_added_bias"


def factors(added: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """A matrix (out in) as UP (out r) @ DOWN (r in), r at most `rank`: in float32, no other pair is nearer."""
    up, values, down = torch.linalg.svd(added.float(), full_matrices=False)
    root = values[:rank].sqrt()
    return up[:, :rank] * root, root[:, None] * down[:rank]


def tuned_lora(
    tuned: Mapping[str, Tensor], untuned: Mapping[str, Tensor], rank: int
) -> tuple[dict[str, Tensor], float]:
    """The LoRA's tensors, and its error: the share of what tuning added (Frobenius norm) that it lacks.

    Args:
        tuned: as `saved_tensors` names them, of the tuned UNet.
        untuned: the same of the UNet before it was tuned, inflated with the same seed.
        rank: at least 1.

    Raises:
        ValueError: a tensor differs that is neither a matrix nor a bias of one.
    """
    tensors: dict[str, Tensor] = {}
    lost = total = 0.0
    for name, tensor in tuned.items():
        added = tensor.float() - untuned[name].float()
        layer, _, kind = name.rpartition(".")
        if added.ndim == 2:
            up, down = factors(added, rank)
            tensors |= {f"unet.{layer}{DOWN}": down, f"unet.{layer}{UP}": up}
            lost += float((added - up @ down).square().sum())
            total += float(added.square().sum())
        elif kind == "bias" and f"{layer}.weight" in tuned and tuned[f"{layer}.weight"].ndim == 2:
            tensors[f"unet.{layer}{BIAS}"] = added
        elif added.any():
            raise ValueError(f"{name} was changed, which no LoRA can hold: write the tuned weights as they are")
    return tensors, (lost / total) ** 0.5 if total else 0.0


def save_lora(tensors: Mapping[str, Tensor], path: Path, *, base: BaseIdentity, seed: int, rank: int) -> None:
    """Write a LoRA of tuned weights in float16, atomically. seed: that the temporal attention began from."""
    header = {"kind": "tuned_lora", "seed": str(seed), "rank": str(rank), "base_sha256": base.sha256, "format": "pt"}
    write_safetensors({name: tensor.to("cpu", torch.float16) for name, tensor in tensors.items()}, path, header)


def seed_of(path: Path) -> int:
    """Of the temporal attention that a LoRA of tuned weights adds to; 0 for one that doesn't say. Raises ValueError."""
    header, tensors = read_safetensors(path)
    if not any(name.endswith(UP) for name in tensors):
        raise ValueError(f"{path} is no LoRA in diffusers' layout: expected names that end in {DOWN} and {UP}")
    return int(header.get("seed") or 0)


def add_lora(unet: UNet2DConditionModel, path: Path, *, base: BaseIdentity | None = None) -> None:
    """Add what `save_lora` wrote to an inflated UNet of the same base and seed, in place.

    Raises:
        ValueError: of another base, or it doesn't fit.
    """
    header, tensors = read_safetensors(path)
    if base is not None and header.get("base_sha256", base.sha256) != base.sha256:
        raise ValueError(f"{path} was tuned from another base than {base.name}: use its base, or tune again")
    parameters, changed = saved_tensors(unet), {}
    for name in {name.removesuffix(DOWN) for name in tensors if name.endswith(DOWN)}:
        weight, bias = f"{name.removeprefix('unet.')}.weight", f"{name.removeprefix('unet.')}.bias"
        if weight not in parameters or f"{name}{UP}" not in tensors:
            raise ValueError(f"{path} has {name}, which is nothing that tuning changes")
        added = tensors[f"{name}{UP}"].float() @ tensors[f"{name}{DOWN}"].float()
        if added.shape != parameters[weight].shape:
            got, expected = tuple(added.shape), tuple(parameters[weight].shape)
            raise ValueError(f"{path} is for another base: its {name} is {got}, this base's is {expected}")
        changed[weight] = parameters[weight].float().cpu() + added
        if f"{name}{BIAS}" in tensors:
            changed[bias] = parameters[bias].float().cpu() + tensors[f"{name}{BIAS}"].float()
    put_tensors({name: parameters[name] for name in changed}, changed, path)
