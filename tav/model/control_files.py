"""ControlNets and T2I-Adapters from a folder or the hub, told apart by their own files and held against the base."""

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, T2IAdapter

from tav.model.control import Model
from tav.model.hub_names import HUB, line, place

CLASSES = {"ControlNetModel": ControlNetModel, "T2IAdapter": T2IAdapter}
ALIKE = ("in_channels", "block_out_channels", "layers_per_block", "addition_embed_type")
"""What a ControlNet's configuration has in common with its base's UNet, beside the width of the prompts."""
MADE_FOR = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}
"""By the width of the prompts."""


def load_control(
    source: str,
    unet: Any,
    *,
    factor: int,
    revision: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Model:
    """A ControlNet or a T2I-Adapter that fits a base, frozen.

    Args:
        source: a folder, or "hub:owner/name". A path is never asked for on the hub.
        unet: the base's.
        factor: how many times smaller latents are than pictures.
        revision: branch, tag or commit on the hub.
        dtype: of its weights; the UNet's.
        device: of its weights.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: neither of the two, not in safetensors, or made for another base.
    """
    config = _config(source, revision)
    model_class = CLASSES[config["_class_name"]]
    try:
        model = model_class.from_pretrained(**place(source, revision), use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{_name(source)} can't be loaded: {line(error)}") from error
    check_fits(model, unet, factor, _name(source))
    return model.requires_grad_(False).eval().to(device, dtype)


def load_control_shapes(source: str, unet: Any, *, factor: int, revision: str | None = None) -> Model:
    """The network without its weights: meta tensors. Arguments and errors as of `load_control`."""
    config = _config(source, revision)
    with torch.device("meta"):
        model = CLASSES[config["_class_name"]].from_config(config)
    check_fits(model, unet, factor, _name(source))
    return model


def check_fits(model: Model, unet: Any, factor: int, name: str) -> None:
    """Raises ValueError: made for another base. An adapter's features are looked at when they are there (Controls)."""
    if not isinstance(model, ControlNetModel):
        return
    ours, base = model.config, unet.config
    if ours.global_pool_conditions:
        raise ValueError(f"{name} is a ControlNet without places (shuffle); expected one that follows maps")
    if ours.cross_attention_dim != base.cross_attention_dim:
        raise ValueError(
            f"{name} is for {kind_of(ours.cross_attention_dim)}, the base is {kind_of(base.cross_attention_dim)}: "
            "take one that was made for this kind of base"
        )
    for field in ALIKE:
        got, expected = _plain(ours[field]), _plain(base[field])
        if got != expected:
            raise ValueError(f"{name} is for another base: its {field} is {got}, this base's {expected}")
    shrinks = 2 ** (len(ours.conditioning_embedding_out_channels) - 1)
    if shrinks != factor:
        raise ValueError(f"{name} makes maps {shrinks} times smaller, this base's VAE makes frames {factor} times so")


def _config(source: str, revision: str | None) -> dict[str, Any]:
    """What its own file says it is."""
    if not source.startswith(HUB) and not Path(source).is_dir():
        raise FileNotFoundError(
            f"{source}: no such folder with a ControlNet or a T2I-Adapter; one on the hub is hub:owner/name"
        )
    try:
        config: dict[str, Any] = ControlNetModel.load_config(**place(source, revision))
    except (OSError, ValueError) as error:
        raise ValueError(f"{_name(source)} is no ControlNet and no T2I-Adapter: {line(error)}") from error
    kind = config.get("_class_name") or (config.get("architectures") or ["model of unknown kind"])[0]
    if kind not in CLASSES:
        raise ValueError(f"{_name(source)} is a {kind}; expected a ControlNetModel or a T2IAdapter")
    return config


def kind_of(width: int) -> str:
    return MADE_FOR.get(width, f"a base with prompts {width} wide")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _name(source: str) -> str:
    return source.removeprefix(HUB)
