"""A pretrained Stable Diffusion: from a folder, a hub id or a single file to a pipeline, and what identifies it."""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError

from tav.model.hub_names import HUB, line, not_found, on_hub, place
from tav.model.loras import fuse_lora, lora_files
from tav.model.weight_files import check_floats, check_folder, check_loaded, files_of, variant_of

COMPONENTS = ("unet", "scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
IN_DTYPE = ("unet", "text_encoder", "text_encoder_2")
"""What runs in the dtype that is asked for."""
KINDS = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
SINGLE_FILE_KINDS = {"v1": KINDS[0], "v2": KINDS[0], "xl_base": KINDS[1]}
EXPECTED = "expected Stable Diffusion 1, 2 or XL, text to image"


@dataclass(frozen=True)
class BaseIdentity:
    """Which pretrained UNet: by name for people, by hash for the check."""

    name: str
    revision: str | None
    """Commit on the hub."""
    sha256: str
    """Of the UNet's weight files (of a single-file checkpoint: of the file), and of LoRAs with their scales."""


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def identity(
    source: str,
    revision: str | None = None,
    *,
    loras: Sequence[tuple[str, float]] = (),
    digest: Callable[[Path], str] = sha256,
) -> BaseIdentity:
    """What the tuned weights of this base will be bound to. Loads nothing.

    digest: gives a file's sha256. Someone who knows it already need not read gigabytes.
    """
    commit, files = _unet_files(source, revision)
    digests = [_named(file) or digest(file) for file in files]
    digests += [f"{_named(f) or digest(f)} {scale!r}" for path, scale in loras for f in lora_files(path)]
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return BaseIdentity(on_hub(source, revision)[0] if source.startswith(HUB) else source, commit, whole)


def load_pipeline(
    source: str,
    *,
    revision: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    loras: Sequence[tuple[str, float]] = (),
    components: Collection[str] = COMPONENTS,
    config: str | None = None,
) -> Any:
    """A diffusers pipeline of Stable Diffusion 1, 2 or XL, with a DDIM scheduler and without a safety checker.

    Args:
        source: a folder, a single .safetensors file, or "hub:owner/name". A path is never asked for on the hub.
        revision: branch, tag or commit on the hub.
        dtype: of the UNet and the text encoders. The VAE, which runs once, stays float32.
        device: of all weights.
        loras: (a .safetensors file, or a folder with one; scale), fused into the weights.
        components: what to load; the others are None in the pipeline.
        config: for a single file, a folder or "hub:owner/name" with the model's configuration.
            None: that of its kind, from the hub.

    Raises:
        FileNotFoundError: neither a path nor a model on the hub.
        ValueError: another kind of model; the kind is named.
    """
    import diffusers

    _quiet()
    file = _is_single_file(source)
    kind = _single_file_kind(Path(source)) if file else _folder_kind(source, revision)
    pipeline_class = getattr(diffusers, kind)
    modules, options = pipeline_class._get_signature_keys(pipeline_class)
    float32_first = bool(loras) or file  # LoRAs are added in float32
    settings: dict[str, Any] = {name: None for name in modules if name not in components}
    settings["dtype"] = torch.float32 if float32_first else dict.fromkeys(IN_DTYPE, dtype) | {"default": torch.float32}
    settings |= {"requires_safety_checker": False} if "requires_safety_checker" in options else {}
    if file:
        pipe = _from_single_file(pipeline_class, source, config, settings)
    else:
        pipe = _from_folder(pipeline_class, source, revision, settings, components)
    if pipe.unet is not None and pipe.unet.config.in_channels != pipe.unet.config.out_channels:
        raise ValueError(f"{source} has a UNet of {pipe.unet.config.in_channels} input channels; {EXPECTED}")
    if pipe.scheduler is not None:
        pipe.scheduler = ddim_scheduler(pipe.scheduler)
    for path, scale in loras:
        fuse_lora(pipe, path, scale)
    for module in (getattr(pipe, name, None) for name in IN_DTYPE if float32_first):
        if module is not None:
            module.to(dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def load_shapes(source: str, *, revision: str | None = None, config: str | None = None) -> Any:
    """The models of a pipeline (unet, vae, text_encoder, text_encoder_2) without their weights: meta tensors.

    Reads and downloads configurations only. Arguments and errors as for `load_pipeline`; a single file needs `config`.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    _quiet()
    if _is_single_file(source):
        if config is None:
            raise ValueError(f"{source} is a single file: its sizes need base.config, a folder or hub id")
        source, revision = config, None
    kind, where = _folder_kind(source, revision), place(source, revision)
    name_or_path = where.pop("pretrained_model_name_or_path")
    encoders = ["text_encoder", "text_encoder_2"] if kind == KINDS[1] else ["text_encoder"]
    with torch.device("meta"):
        models = {
            name: model.from_config(model.load_config(name_or_path, subfolder=name, **where))
            for name, model in {"unet": UNet2DConditionModel, "vae": AutoencoderKL}.items()
        }
        for name in encoders:
            models[name] = CLIPTextModel(CLIPTextConfig.from_pretrained(name_or_path, subfolder=name, **where))
    return SimpleNamespace(**models)


def ddim_scheduler(scheduler: Any) -> Any:
    """A DDIMScheduler from another scheduler's config.

    Where a config leaves `clip_sample` out (PNDM, Euler), DDIM's default is for pixels and wrong for latents.
    """
    from diffusers import DDIMScheduler

    known = {name: scheduler.config[name] for name in signature(DDIMScheduler).parameters if name in scheduler.config}
    if known.get("timestep_spacing") == "linspace":
        known["timestep_spacing"] = "leading"  # the inverse scheduler has no other that fits
    return DDIMScheduler.from_config(known | {"clip_sample": False})


def _quiet() -> None:
    """Libraries' bars and notes of loading, which say nothing that a user can act on."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def _is_single_file(path: str) -> bool:
    if Path(path).suffix in {".ckpt", ".pt", ".pth", ".bin"}:
        raise ValueError(f"{path} is a pickle, which can run code when it is read: convert it to .safetensors")
    if Path(path).suffix == ".safetensors" and not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return Path(path).is_file()


def _folder_kind(source: str, revision: str | None) -> str:
    from diffusers import DiffusionPipeline

    if not source.startswith(HUB) and not Path(source).is_dir():
        raise FileNotFoundError(f"{source}: no such folder or .safetensors file; a model on the hub is hub:owner/name")
    if Path(source).is_dir() and not (Path(source) / "model_index.json").is_file():
        raise ValueError(f"{source} holds {_contents(Path(source))}; {EXPECTED} (a model_index.json)")
    try:
        kind = str(DiffusionPipeline.load_config(**place(source, revision))["_class_name"])
    except OSError as error:
        raise not_found(source, error) from error
    if kind == "TuneAVideoPipeline":
        raise ValueError(f"{source} is an output of the official code: give its base, and import its unet folder")
    if kind not in KINDS:
        raise ValueError(f"{source} is a {kind}; {EXPECTED} ({' or '.join(KINDS)})")
    return kind


def _contents(folder: Path) -> str:
    config = folder / "config.json"
    if not config.is_file():
        return "no model_index.json"
    fields = json.loads(config.read_text())
    return "a " + str(fields.get("_class_name") or (fields.get("architectures") or ["model of unknown kind"])[0])


def _single_file_kind(path: Path) -> str:
    from diffusers.loaders.single_file_utils import infer_diffusers_model_type
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            # meta tensors: the kind is told by names and shapes
            shapes = {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a .safetensors file: {line(error)}") from error
    if "model.diffusion_model.input_blocks.0.0.weight" not in shapes:
        raise ValueError(f"{path} has no model.diffusion_model.* tensors; {EXPECTED} in a single file")
    kind = infer_diffusers_model_type(shapes)
    if kind not in SINGLE_FILE_KINDS:
        raise ValueError(f"{path} is of the kind {kind}; {EXPECTED}")
    return SINGLE_FILE_KINDS[kind]


def _from_folder(
    pipeline_class: Any, source: str, revision: str | None, settings: dict[str, Any], components: Collection[str]
) -> Any:
    """From a folder or the hub, of safetensors alone."""
    local = not source.startswith(HUB)
    variant = variant_of(Path(source), components) if local else None
    try:
        pipe = pipeline_class.from_pretrained(
            **place(source, revision), **settings, variant=variant, use_safetensors=True
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{source} can't be loaded: {line(error)}") from error
    if local:
        check_folder(Path(source), pipe, variant)
    else:
        check_loaded(source, pipe)
    return pipe


def _from_single_file(pipeline_class: Any, path: str, config: str | None, settings: dict[str, Any]) -> Any:
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    if config is not None:
        _folder_kind(config, None)
    where, revision = (config, None) if config is None or not config.startswith(HUB) else on_hub(config, None)
    check_floats(Path(path))
    try:
        pipe = pipeline_class.from_single_file(path, config=where, revision=revision, **settings)
    except SingleFileComponentError as error:
        raise ValueError(f"{path} is not a whole model: {line(error)}") from error
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise ValueError(
            f"{path} can't be loaded with the configuration of {config or 'the hub (base.config is null)'}: "
            f"set base.config to a folder or hub id of this kind of model ({line(error)})"
        ) from error
    check_loaded(path, pipe)
    return pipe


def _unet_files(source: str, revision: str | None) -> tuple[str | None, list[Path]]:
    """The commit, on the hub, and the files that `load_pipeline` reads the UNet from."""
    if _is_single_file(source):
        return None, [Path(source)]
    if source.startswith(HUB):
        folder = _download_unet(*on_hub(source, revision))
        return folder.name, list(files_of(folder, "unet", None))
    if not Path(source).is_dir():
        raise FileNotFoundError(f"{source}: no such folder or .safetensors file; a model on the hub is hub:owner/name")
    return None, list(files_of(Path(source), "unet", variant_of(Path(source), COMPONENTS)))


def _download_unet(hub_id: str, revision: str | None) -> Path:
    """The folder in the hub's cache, with the UNet's weights: its name is the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model-*-of-*.safetensors"]
    try:
        folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=wanted))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise not_found(hub_id, error) from error
    if not any(files_of(folder, "unet", None)):
        raise FileNotFoundError(f"{hub_id} has no {wanted[0]}; {EXPECTED}, in safetensors")
    return folder


def _named(file: Path) -> str | None:
    """The sha256 that the hub's cache names a file by."""
    blob = file.resolve()
    in_cache = file.is_symlink() and blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name)
    return blob.name if in_cache else None
