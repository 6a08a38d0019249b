"""A pretrained Stable Diffusion: from a folder, a hub id or a single file to a pipeline, and what identifies it."""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

COMPONENTS = ("unet", "scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
KINDS = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
SINGLE_FILE_KINDS = {"v1": KINDS[0], "v2": KINDS[0], "xl_base": KINDS[1]}
UNET_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model-*-of-*.safetensors")
UNET_PICKLE = ("diffusion_pytorch_model.bin", "diffusion_pytorch_model-*-of-*.bin")
EXPECTED = "expected Stable Diffusion 1, 2 or XL, text to image"


@dataclass(frozen=True)
class BaseIdentity:
    """Which pretrained UNet: by name for people, by hash for the check."""

    name: str
    revision: str | None
    """Commit on the hub."""
    sha256: str
    """Of the UNet's weight files (of a single-file checkpoint: of the file), and of LoRAs with their scales."""


def identity(
    path_or_hub_id: str, revision: str | None = None, *, loras: Sequence[tuple[str, float]] = ()
) -> BaseIdentity:
    """What the tuned weights of this base will be bound to. Reads the UNet's weight files once, loads nothing."""
    commit, files = _unet_files(path_or_hub_id, revision)
    digests = [_sha256(file) for file in files]
    digests += [f"{_sha256(file)} {scale!r}" for path, scale in loras for file in _lora_files(path)]
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return BaseIdentity(path_or_hub_id, commit, whole)


def load_pipeline(
    path_or_hub_id: str,
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
        path_or_hub_id: a folder, a hub id, or a single .safetensors file.
        revision: branch, tag or commit on the hub.
        dtype: of the UNet and the text encoders. The VAE, which runs once, stays float32.
        device: of all weights.
        loras: (file, folder or hub id; scale), fused into the weights.
        components: what to load; the others are None in the pipeline.
        config: for a single file, a folder or hub id with the model's configuration. None: diffusers guesses it.

    Raises:
        FileNotFoundError: neither a path nor a model on the hub.
        ValueError: another kind of model; the kind is named.
    """
    import diffusers

    _quiet()
    file = _is_single_file(path_or_hub_id)
    kind = _single_file_kind(Path(path_or_hub_id)) if file else _folder_kind(path_or_hub_id, revision)
    pipeline_class = getattr(diffusers, kind)
    modules, options = pipeline_class._get_signature_keys(pipeline_class)
    settings: dict[str, Any] = {"dtype": torch.float32} | {name: None for name in modules if name not in components}
    settings |= {"requires_safety_checker": False} if "requires_safety_checker" in options else {}
    if file:
        pipe = _from_single_file(pipeline_class, path_or_hub_id, config, settings)
    else:
        pipe = pipeline_class.from_pretrained(path_or_hub_id, revision=revision, **settings)
    if pipe.unet is not None and pipe.unet.config.in_channels != pipe.unet.config.out_channels:
        raise ValueError(f"{path_or_hub_id} has a UNet of {pipe.unet.config.in_channels} input channels; {EXPECTED}")
    if pipe.scheduler is not None:
        pipe.scheduler = ddim_scheduler(pipe.scheduler)
    for path, scale in loras:
        pipe.load_lora_weights(path)
        pipe.fuse_lora(lora_scale=scale)
        pipe.unload_lora_weights()
    for module in (pipe.unet, pipe.text_encoder, getattr(pipe, "text_encoder_2", None)):
        if module is not None:
            module.to(dtype)  # only now: LoRAs are added in float32
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def load_shapes(path_or_hub_id: str, *, revision: str | None = None, config: str | None = None) -> Any:
    """The models of a pipeline (unet, vae, text_encoder, text_encoder_2) without their weights: meta tensors.

    Reads and downloads configurations only. Arguments and errors as for `load_pipeline`; a single file needs `config`.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    _quiet()
    if _is_single_file(path_or_hub_id):
        if config is None:
            raise ValueError(f"{path_or_hub_id} is a single file: its sizes need base.config, a folder or hub id")
        path_or_hub_id, revision = config, None
    kind, place = _folder_kind(path_or_hub_id, revision), {"revision": revision}
    encoders = ["text_encoder", "text_encoder_2"] if kind == KINDS[1] else ["text_encoder"]
    with torch.device("meta"):
        models = {
            name: model.from_config(model.load_config(path_or_hub_id, subfolder=name, **place))
            for name, model in {"unet": UNet2DConditionModel, "vae": AutoencoderKL}.items()
        }
        for name in encoders:
            models[name] = CLIPTextModel(CLIPTextConfig.from_pretrained(path_or_hub_id, subfolder=name, **place))
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


def _folder_kind(path_or_hub_id: str, revision: str | None) -> str:
    from diffusers import DiffusionPipeline

    if Path(path_or_hub_id).is_dir() and not (Path(path_or_hub_id) / "model_index.json").is_file():
        raise ValueError(f"{path_or_hub_id} holds {_contents(Path(path_or_hub_id))}; {EXPECTED} (a model_index.json)")
    try:
        kind = str(DiffusionPipeline.load_config(path_or_hub_id, revision=revision)["_class_name"])
    except OSError as error:
        raise FileNotFoundError(
            f"{path_or_hub_id}: no such folder, and not found on the hub ({_line(error)})"
        ) from error
    if kind == "TuneAVideoPipeline":
        raise ValueError(
            f"{path_or_hub_id} is an output of the official code: give its base, and import its unet folder"
        )
    if kind not in KINDS:
        raise ValueError(f"{path_or_hub_id} is a {kind}; {EXPECTED} ({' or '.join(KINDS)})")
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
        raise ValueError(f"{path} is not a .safetensors file: {_line(error)}") from error
    if "model.diffusion_model.input_blocks.0.0.weight" not in shapes:
        raise ValueError(f"{path} has no model.diffusion_model.* tensors; {EXPECTED} in a single file")
    kind = infer_diffusers_model_type(shapes)
    if kind not in SINGLE_FILE_KINDS:
        raise ValueError(f"{path} is of the kind {kind}; {EXPECTED}")
    return SINGLE_FILE_KINDS[kind]


def _from_single_file(pipeline_class: Any, path: str, config: str | None, settings: dict[str, Any]) -> Any:
    if config is not None and Path(config).is_dir():
        _folder_kind(config, None)
    try:
        return pipeline_class.from_single_file(path, config=config, **settings)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} can't be loaded with the configuration of {config or 'the hub (base.config is null)'}: "
            f"set base.config to a folder or hub id of this kind of model ({_line(error)})"
        ) from error


def _unet_files(path_or_hub_id: str, revision: str | None) -> tuple[str | None, list[Path]]:
    """The commit, on the hub, and the files that `load_pipeline` reads the UNet from."""
    if _is_single_file(path_or_hub_id):
        return None, [Path(path_or_hub_id)]
    commit, folder = None, Path(path_or_hub_id)
    if not folder.is_dir():
        folder = _download_unet(path_or_hub_id, revision)
        commit = folder.name
    for patterns in (UNET_WEIGHTS, UNET_PICKLE):
        if files := sorted(file for pattern in patterns for file in (folder / "unet").glob(pattern)):
            return commit, files
    raise FileNotFoundError(f"{path_or_hub_id} has no unet/{UNET_WEIGHTS[0]}; {EXPECTED}")


def _download_unet(hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    for patterns in (UNET_WEIGHTS, UNET_PICKLE):
        wanted = [f"unet/{pattern}" for pattern in patterns]
        try:
            folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=wanted))
        except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
            raise _not_found(hub_id, error) from error
        if any((folder / "unet").glob("diffusion_pytorch_model*")):
            break
    return folder


def _lora_files(path: str) -> list[Path]:
    if Path(path).is_file():
        return [Path(path)]
    if files := sorted(Path(path).glob("*.safetensors")):
        return files
    raise FileNotFoundError(f"LoRA {path}: no such .safetensors file, nor a folder with one")


def _sha256(file: Path) -> str:
    blob = file.resolve().name
    if re.fullmatch("[0-9a-f]{64}", blob):
        return blob  # the hub's cache names a file by its hash
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _not_found(path_or_hub_id: str, error: Exception) -> FileNotFoundError:
    return FileNotFoundError(f"{path_or_hub_id}: no such folder, and not found on the hub ({_line(error)})")


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
