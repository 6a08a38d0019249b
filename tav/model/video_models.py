"""Edits by a video model of the user's own, without tuning: what Tune-A-Video is compared with. diffusers' pipelines.

Each takes a whole video and gives one as long. Their VAEs fold several frames into one (4n + 1 frames), so the last
frame is repeated as often as that needs, and what it adds is cut off again.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tav.model.baselines import Asked
from tav.model.ddim import OnStep
from tav.model.flow_edit import flow_edit
from tav.model.hub_names import HUB, line, not_found, place


class Kind(NamedTuple):
    network: str
    """The class of the transformer that a folder must hold."""
    pipeline: str
    """diffusers' class that is called."""


VIDEO_MODELS = {
    "cogvideox": Kind("CogVideoXTransformer3DModel", "CogVideoXVideoToVideoPipeline"),
    "wan": Kind("WanTransformer3DModel", "WanVideoToVideoPipeline"),
    "wan-vace": Kind("WanVACETransformer3DModel", "WanVACEPipeline"),
    "wan-flow-edit": Kind("WanTransformer3DModel", "WanPipeline"),
}
"""cogvideox, wan: noise is put on the video and taken off it again. wan-vace: a new video of its lines."""


def load_video_model(
    method: str,
    source: str,
    *,
    revision: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Any:
    """diffusers' pipeline of a method, from a folder or "hub:owner/name".

    Args:
        method: one of VIDEO_MODELS.
        source: a path is never asked for on the hub.
        revision: branch, tag or commit on the hub.
        dtype: of the transformer and the text encoder. Wan's VAE stays float32, as its authors ask.
        device: of all weights.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: another kind of model, which is named.
    """
    import diffusers
    from diffusers.utils import is_ftfy_available

    kind = VIDEO_MODELS[method]
    if "Wan" in kind.network and not is_ftfy_available():
        raise ValueError(f"method {method} needs the package ftfy: pip install 'tav[video-models]'")
    if not source.startswith(HUB) and not Path(source).is_dir():
        raise FileNotFoundError(f"{source}: no such folder with a video model; one on the hub is hub:owner/name")
    where = place(source, revision)
    try:
        config = diffusers.DiffusionPipeline.load_config(**where)
    except OSError as error:
        raise not_found(source, error) from error
    got = (config.get("transformer") or [None, config.get("_class_name")])[1]
    if got != kind.network:
        raise ValueError(f"{source} has a {got}; method {method} needs a pipeline with a {kind.network}")
    dtypes = {"default": dtype} | ({"vae": torch.float32} if "Wan" in kind.network else {})
    try:
        pipe = getattr(diffusers, kind.pipeline).from_pretrained(**where, dtype=dtypes, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{source} can't be loaded: {line(error)}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def edit_by_video_model(
    method: str, pipe: Any, frames: np.ndarray, asked: Asked, lines: np.ndarray, on_step: OnStep | None = None
) -> np.ndarray:
    """A video edited by a video model: uint8 (f h w 3), as `frames`, the source.

    Args:
        method: one of VIDEO_MODELS.
        pipe: from `load_video_model`.
        frames: uint8 (f h w 3).
        asked: the prompts and settings. The inversion's prompt is not used.
        lines: the video's scribbles, uint8 (f h w 3), for wan-vace.
        on_step: (steps done, of how many).

    Raises:
        ValueError: sides that the model can't take, or too few steps for the strength.
    """
    height, width = frames.shape[1:3]
    _check(method, pipe, height, width, asked)
    padded = _padded(pipe, lines if method == "wan-vace" else frames)
    generator = torch.Generator(pipe.device).manual_seed(asked.seed)
    if method == "wan-flow-edit":
        output = flow_edit(pipe, _pictures(padded), asked, generator, on_step)
    else:
        options: dict[str, Any] = {"strength": asked.strength}
        if method == "wan-vace":
            options = {"mask": _pictures(np.full_like(padded, 255)), "num_frames": len(padded)}
        output = pipe(
            video=_pictures(padded),
            prompt=asked.prompt,
            negative_prompt=asked.negative_prompt,
            height=height,
            width=width,
            num_inference_steps=asked.num_inference_steps,
            guidance_scale=asked.guidance_scale,
            generator=generator,
            output_type="np",
            callback_on_step_end=_telling(on_step),
            **options,
        ).frames[0]
    return (output[: len(frames)] * 255).round().astype(np.uint8)


def _check(method: str, pipe: Any, height: int, width: int, asked: Asked) -> None:
    patch = pipe.transformer.config.patch_size
    side = pipe.vae_scale_factor_spatial * (patch if isinstance(patch, int) else patch[-1])
    if height % side or width % side:
        raise ValueError(f"{method} got frames of {width}x{height}; sides must be multiples of {side}: extract.size")
    if method in ("cogvideox", "wan") and int(asked.num_inference_steps * asked.strength) < 1:
        got = f"{asked.num_inference_steps} steps at strength {asked.strength:g}"
        raise ValueError(f"{method} got {got}, which is none; give it more of either")


def _padded(pipe: Any, frames: np.ndarray) -> np.ndarray:
    """With the last frame repeated, to as many frames as whole latents hold."""
    fold, patch = pipe.vae_scale_factor_temporal, pipe.transformer.config.get("patch_size_t") or 1
    latents = -(-(len(frames) - 1) // fold) + 1
    latents = -(-latents // patch) * patch
    return np.concatenate([frames, frames[-1:].repeat(fold * (latents - 1) + 1 - len(frames), axis=0)])


def _pictures(frames: np.ndarray) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(frame) for frame in frames]


def _telling(on_step: OnStep | None) -> Any:
    """diffusers' callback."""

    def tell(pipe: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        if on_step is not None:
            on_step(step + 1, pipe.num_timesteps)
        return given

    return tell
