"""An IP-Adapter's files: from a folder or the hub, what they hold, and whether they fit a base."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers.models.attention import BasicTransformerBlock
from safetensors import SafetensorError, safe_open

from tav.model.control_files import kind_of
from tav.model.hub_names import HUB, line, not_found, place

Shapes = dict[str, tuple[int, ...]]
POOLED = "image_proj.proj.weight"
"""Of an adapter that takes a picture's one embedding."""
PLACES = ("image_proj.proj_in.weight", "image_proj.proj.0.weight")
"""Of those (plus, full face) that take the encoder's last layer but one, all of its places."""
FACES = ("image_proj.perceiver_resampler.proj_in.weight", "image_proj.proj.2.weight")
"""Of those (FaceID) that take another network's idea of a face."""

CLIPS = ("clip", "clip_vision_model")
"""What an image encoder may be, as its configuration says it."""


class AdapterShapes(NamedTuple):
    """What an adapter holds, without its numbers."""

    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    embeds: tuple[int, ...]
    """Of a picture's embedding, as the UNet takes it: 1 d, or 1 n d."""
    encoder_parameters: int
    """Of the image encoder, which is there only while the picture is looked at."""


@dataclass(frozen=True)
class ReferenceFiles:
    """Where an adapter is."""

    source: str
    """A folder, or "hub:owner/name". A path is never asked for on the hub."""
    file: str
    """The adapter in it, a .safetensors file."""
    image_encoder: str
    """The folder in it with the CLIP that the adapter was trained with."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""

    @property
    def name(self) -> str:
        return f"{self.source.removeprefix(HUB)}/{self.file}"

    @property
    def on_hub(self) -> str | None:
        return self.source.removeprefix(HUB) if self.source.startswith(HUB) else None

    def weights(self) -> Path:
        """The adapter's file, which is downloaded where it is on the hub. Raises FileNotFoundError."""
        if self.on_hub:
            from huggingface_hub import hf_hub_download

            with _told_of_hub(self.name):
                return Path(hf_hub_download(self.on_hub, self.file, revision=self.revision))
        if not Path(self.source, self.file).is_file():
            folder = Path(self.source)
            there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))
            raise FileNotFoundError(f"{self.name}: no such file; there are {', '.join(there[:8]) or 'no .safetensors'}")
        return Path(self.source, self.file)

    def encoder_place(self) -> dict[str, Any]:
        """Where the image encoder is, as `from_pretrained` takes it."""
        return place(self.source, self.revision) | {"subfolder": self.image_encoder}


def adapter_shapes(files: ReferenceFiles, unet: Any) -> AdapterShapes:
    """What an adapter holds that fits the base. Reads the head of its file, and the image encoder's configuration.

    unet: of the base, inflated or not; meta tensors will do.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no image encoder, another kind of adapter, or one that was made for another base.
    """
    shapes = _shapes(files)
    layers = sorted(name for name in shapes if name.endswith(".to_k_ip.weight"))
    if not layers or not any(name.startswith("image_proj.") for name in shapes):
        raise ValueError(f"{files.name} is no IP-Adapter: expected ip_adapter.N.to_k_ip.weight and image_proj.*")
    got, expected = shapes[layers[0]][1], unet.config.cross_attention_dim
    if got != expected:
        raise ValueError(
            f"{files.name} is for {kind_of(got)}, the base is {kind_of(expected)}: take one that was made for this "
            "kind of base"
        )
    blocks = [part for part in unet.modules() if isinstance(part, BasicTransformerBlock)]
    widths, ours = (sorted(w) for w in ((shapes[n][0] for n in layers), (b.attn2.to_k.out_features for b in blocks)))
    if widths != ours:
        raise ValueError(
            f"{files.name} is for another base: its {len(widths)} layers don't fit this base's {len(ours)}"
        )
    config = _encoder_config(files)
    return AdapterShapes(tuple(sorted(shapes.items())), _embeds(files, shapes, config), _parameters(config))


def encoder_of(files: ReferenceFiles, dtype: torch.dtype) -> Any:
    """The image encoder. Raises ValueError."""
    from transformers import CLIPVisionModelWithProjection

    try:
        return CLIPVisionModelWithProjection.from_pretrained(**files.encoder_place(), dtype=dtype)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{_encoder_name(files)} can't be loaded: {line(error)}") from error


def _shapes(files: ReferenceFiles) -> Shapes:
    """Of all tensors. A file on the hub that isn't here is asked for its head alone."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    if files.on_hub and not isinstance(try_to_load_from_cache(files.on_hub, files.file, revision=files.revision), str):
        with _told_of_hub(files.name):
            head = HfApi().parse_safetensors_file_metadata(files.on_hub, files.file, revision=files.revision)
        return {name: tuple(tensor.shape) for name, tensor in head.tensors.items()}
    path = files.weights()
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no .safetensors file: {line(error)}") from error


@contextmanager
def _told_of_hub(name: str) -> Iterator[None]:
    """The hub's errors as FileNotFoundError."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        yield
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise not_found(name, error) from error


def _encoder_config(files: ReferenceFiles) -> Any:
    from transformers import CLIPVisionConfig

    try:
        fields, _ = CLIPVisionConfig.get_config_dict(**files.encoder_place())  # empty where there is no such file
    except (OSError, ValueError) as error:
        raise ValueError(f"{_encoder_name(files)} is not there: {line(error)}") from error
    if fields.get("model_type") not in CLIPS:
        raise ValueError(f"{_encoder_name(files)} is not there, or no CLIP: expected a CLIPVisionModelWithProjection")
    return CLIPVisionConfig.from_dict(fields.get("vision_config", fields))


def _embeds(files: ReferenceFiles, shapes: Shapes, config: Any) -> tuple[int, ...]:
    """Of a picture's embedding. Raises ValueError: this encoder gives another than the adapter takes."""
    places = next((name for name in PLACES if name in shapes), None)
    faces = any(name in shapes for name in FACES) and "image_proj.proj.3.weight" not in shapes
    if faces or not (places or POOLED in shapes):
        raise ValueError(f"{files.name} takes faces (FaceID), or is of no known kind: expected one that takes pictures")
    wanted = shapes[places or POOLED][1]
    given = config.hidden_size if places else config.projection_dim
    if wanted != given:
        raise ValueError(
            f"{files.name} takes embeddings of {wanted} numbers, {_encoder_name(files)} gives {given}: name the one "
            "that it was trained with"
        )
    return (1, (config.image_size // config.patch_size) ** 2 + 1, given) if places else (1, given)


def _parameters(config: Any) -> int:
    from transformers import CLIPVisionModelWithProjection

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in CLIPVisionModelWithProjection(config).parameters())


def _encoder_name(files: ReferenceFiles) -> str:
    return f"the image encoder {files.source.removeprefix(HUB)}/{files.image_encoder}"
