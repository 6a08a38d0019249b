"""The tensors that tuning changes: which they are, and how they are saved, loaded and checked.

A file of tuned weights is safetensors with the tuned tensors and `norm_temp`, by the UNet's own parameter names, and
with the identity of the base model in its header.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tav.model.inflation import (
    TEMPORAL_AFTER,
    inflate,
    is_inflated,
    self_attention_of,
    set_self_attention,
    set_temporal_after,
    temporal_after_of,
)
from tav.model.pretrained import BaseIdentity

TUNED = re.compile(r"\.(attn1\.to_q|attn2\.to_q|attn_temp)\.")
TEMPORAL = re.compile(r"\.(attn_temp|norm_temp)\.")


def tuned_parameters(unet: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are tuned, by name: the queries of both attentions and all of temporal attention.

    Paper, section 4.2; official configs, `trainable_modules`. On Stable Diffusion 1.4: 112 tensors, 74,354,880
    numbers. `norm_temp` is not among them, as in the official code.
    """
    return {name: parameter for name, parameter in unet.named_parameters() if TUNED.search(name)}


def temporal_and_query_groups(
    parameters: Mapping[str, nn.Parameter], learning_rate: float, temporal_learning_rate: float | None = None
) -> list[dict[str, Any]]:
    """An optimizer's parameter groups: the queries' rate, and the temporal attention's (None: the same)."""
    temporal = [parameter for name, parameter in parameters.items() if TEMPORAL.search(name)]
    query = [parameter for name, parameter in parameters.items() if not TEMPORAL.search(name)]
    rate = learning_rate if temporal_learning_rate is None else temporal_learning_rate
    return [{"params": query, "lr": learning_rate}, {"params": temporal, "lr": rate}]


def save_tuned_weights(
    unet: nn.Module,
    path: Path,
    *,
    base: BaseIdentity,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the tuned tensors and `norm_temp`, atomically.

    `norm_temp` stays as it was made unless an official checkpoint brought one, but loading needs it.

    Args:
        unet: inflated.
        path: a .safetensors file.
        base: what the UNet was before it was inflated.
        dtype: of the file; None keeps the tensors' own.
        metadata: more for the file's header.
    """
    tensors = {name: tensor.to("cpu", dtype or tensor.dtype) for name, tensor in saved_tensors(unet).items()}
    header = {"base_name": base.name, "base_revision": base.revision or "", "base_sha256": base.sha256}
    if (sees := self_attention_of(unet)) != "sparse-causal":
        header["self_attention"] = sees
    if (part := temporal_after_of(unet)) != TEMPORAL_AFTER[0]:
        header["temporal_after"] = part
    write_safetensors(tensors, path, {**(metadata or {}), **header, "format": "pt", "kind": "tuned_weights"})


def load_tuned_weights(unet: UNet2DConditionModel, path: Path, *, base: BaseIdentity | None = None) -> None:
    """Put saved tuned weights into a UNet, in place; it is inflated first if need be. Keeps the UNet's own dtype.

    Args:
        unet: the base's.
        path: written by `save_tuned_weights`.
        base: the UNet's identity; given, weights of another base are refused.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not tuned weights, of another base, or a tensor is missing, unknown or of another shape.
    """
    header, tensors = read_safetensors(path)
    if header.get("kind") != "tuned_weights":
        raise ValueError(f"{path} is not a file of tuned weights: its header has no kind=tuned_weights")
    if base is not None and header.get("base_sha256") != base.sha256:
        got, expected = _describe(header.get("base_name"), header.get("base_sha256")), _describe(base.name, base.sha256)
        raise ValueError(f"{path} was tuned from {got}, but the base is {expected}: use that base, or tune again")
    if not is_inflated(unet):
        inflate(unet)
    set_self_attention(unet, header.get("self_attention", "sparse-causal"))
    set_temporal_after(unet, header.get("temporal_after", TEMPORAL_AFTER[0]))
    put_tensors(saved_tensors(unet), tensors, path)


def put_tensors(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into parameters of the same names, in place, all or none. Raises ValueError on any difference."""
    complaints = [
        _some("lacks", parameters.keys() - tensors.keys()),
        _some("has the unknown", tensors.keys() - parameters.keys()),
        *(
            f"has {name} of shape {tuple(tensors[name].shape)}, expected {tuple(parameters[name].shape)}"
            for name in sorted(parameters.keys() & tensors.keys())
            if tensors[name].shape != parameters[name].shape
        ),
    ]
    if complaints := [complaint for complaint in complaints if complaint]:
        more = f" (and {len(complaints) - 3} more)" if len(complaints) > 3 else ""
        raise ValueError(f"{source} does not fit this model: it {'; it '.join(complaints[:3])}{more}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """A file's header and tensors. Raises FileNotFoundError, or ValueError when it is damaged."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a .safetensors file")
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not a safetensors file: {error}") from error


def write_safetensors(tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, str]) -> None:
    """Write a file that is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode  # as the umask has it: save_file's own is readable by its owner only
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, dict(header))
        _sort_header(partial)
        partial.chmod(mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _sort_header(file: Path) -> None:
    """Bring the metadata in order, in place: safetensors writes them in one that differs from process to process."""
    with file.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
        if len(text) == length:
            stream.seek(8)
            stream.write(text)


def saved_tensors(unet: nn.Module) -> dict[str, Tensor]:
    """What a file of tuned weights holds, by name: the tuned parameters and norm_temp, not copied."""
    named = unet.named_parameters()
    return {name: parameter.detach() for name, parameter in named if TUNED.search(name) or TEMPORAL.search(name)}


def _describe(name: str | None, sha256: str | None) -> str:
    return f"{name or 'an unnamed base'} (sha256 {(sha256 or 'none')[:12]})"


def _some(verb: str, names: Iterable[str]) -> str:
    first, *others = [*sorted(names), ""]
    return first and f"{verb} {first}" + (f" and {len(others) - 1} others" if len(others) > 1 else "")
