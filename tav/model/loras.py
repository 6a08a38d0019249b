"""LoRAs: what a file holds, whether it fits the base, and its fusion into the base's weights."""

import sys
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tav.model.hub_names import HUB, not_found, on_hub

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
PEFT = (".lora_A.weight", ".lora_B.weight")
DORA = ("dora_scale", "lora_magnitude_vector")


USUAL = "pytorch_lora_weights.safetensors"
"""What diffusers' trainings call a LoRA."""


def lora_path(source: str, file: str | None = None, revision: str | None = None) -> str:
    """Where a LoRA is on this machine: a path, with `file` in it; of the hub, the file in its cache.

    Raises FileNotFoundError: not on the hub. ValueError: on the hub, and no file is named.
    """
    if not source.startswith(HUB):
        return str(Path(source, file)) if file else source
    if file is None:
        raise ValueError(f"{source} is on the hub: name its file")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hub_id, revision = on_hub(source, revision)
    try:
        return str(hf_hub_download(hub_id, file or USUAL, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise not_found(f"{hub_id}/{file}", error) from error


def lora_files(path: str) -> list[Path]:
    """The .safetensors files of a LoRA: itself, or those of its folder. Raises FileNotFoundError."""
    if Path(path).is_file():
        return [Path(path)]
    if files := sorted(Path(path).glob("*.safetensors")):
        return files
    raise FileNotFoundError(f"LoRA {path}: no such .safetensors file, nor a folder with one")


def fuse_lora(pipe: Any, path: str, scale: float) -> None:
    """Add a LoRA to a pipeline's weights, in place. What of it fits nothing is told on stderr.

    Args:
        pipe: not inflated, in float32. A component that it lacks is left out.
        path: a .safetensors file, or a folder with one, in any layout that diffusers reads.
        scale: of what it adds.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not safetensors, nothing of it fits, a layer has another width, or it is a DoRA.
    """
    for file in lora_files(path):
        layers, names = _layers(pipe, file)
        _check_widths(pipe, file, layers)
        fits = {name for name in layers if _module(pipe, name) is not None}
        strangers = sorted(set(layers) - fits)
        if not fits:
            raise ValueError(
                f"LoRA {file} fits nothing of this base: looked for names as unet.{_example(pipe)}.lora_A.weight, "
                f"found {len(names)} as {names[0]}"
            )
        if strangers:
            print(
                f"LoRA {file}: {len(strangers)} of {len(layers)} layers are not in this base and left out, "
                f"the first {strangers[0]}",
                file=sys.stderr,
            )
        pipe.load_lora_weights(str(file))
        missed = sorted(name for name in fits if not hasattr(_module(pipe, name), "lora_A"))
        if missed:
            raise ValueError(f"LoRA {file}: diffusers did not take {len(missed)} of its layers, the first {missed[0]}")
        pipe.fuse_lora(lora_scale=scale)
        pipe.unload_lora_weights()


def _layers(pipe: Any, file: Path) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    """Layer ("unet.mid_block...to_q") -> its two matrices ("lora_A", "lora_B"); and the file's own names."""
    from diffusers.utils import convert_state_dict_to_peft, convert_unet_state_dict_to_peft

    try:
        with safe_open(file, "pt") as opened:
            names = sorted(opened.keys())
        state, *_ = pipe.lora_state_dict(str(file))
    except SafetensorError as error:
        raise ValueError(f"LoRA {file} is damaged or not a safetensors file: {error}") from error
    except (KeyError, IndexError) as error:
        raise ValueError(f"LoRA {file} is in no layout that diffusers reads ({error!r})") from error
    if not names:
        raise ValueError(f"LoRA {file} holds no tensors")
    if dora := [name for name in names if any(mark in name for mark in DORA)]:
        raise ValueError(f"LoRA {file} is a DoRA ({dora[0]}), whose magnitudes would be lost: expected a plain LoRA")
    layers: dict[str, dict[str, Tensor]] = {}
    for component in COMPONENTS:
        tensors = {n.removeprefix(f"{component}."): t for n, t in state.items() if n.startswith(f"{component}.")}
        if tensors and getattr(pipe, component, None) is not None:
            convert = convert_unet_state_dict_to_peft if component == "unet" else convert_state_dict_to_peft
            as_peft = all(name.endswith(PEFT) for name in tensors)
            for name, tensor in (tensors if as_peft else convert(tensors)).items():
                layer, _, matrix = name.removesuffix(".weight").rpartition(".")
                layers.setdefault(f"{component}.{layer}", {})[matrix] = tensor
    return layers, names


def _module(pipe: Any, name: str) -> nn.Module | None:
    component, _, layer = name.partition(".")
    try:
        module: nn.Module = getattr(pipe, component).get_submodule(layer)
    except AttributeError:
        return None
    return module


def _check_widths(pipe: Any, file: Path, layers: dict[str, dict[str, Tensor]]) -> None:
    for name, matrices in layers.items():
        module = _module(pipe, name)
        weight = getattr(module, "weight", None)
        if weight is None or not {"lora_A", "lora_B"} <= matrices.keys():
            continue
        got = (matrices["lora_B"].shape[0], matrices["lora_A"].shape[1])
        if got != tuple(weight.shape[:2]):
            raise ValueError(
                f"LoRA {file} is for another base: its {name} goes from {got[1]} to {got[0]} numbers, this base's from "
                f"{weight.shape[1]} to {weight.shape[0]}"
            )


def _example(pipe: Any) -> str:
    return next(str(name) for name, _ in pipe.unet.named_modules() if name.endswith("attn1.to_q"))
