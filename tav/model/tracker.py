"""A mask that follows what it shows in the first frame through a video: SAM 2 (Ravi et al. 2024, arXiv 2408.00714).

The model is transformers' Sam2VideoModel. Its processors need torchvision, which nothing else here does: so frames and
prompts are brought to the model's size as they bring them (Sam2VideoProcessor, transformers 5.23).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from tav.model.hub_names import HUB, line, place

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pictures that it was trained on (ImageNet's)."""
POINT, LEFT_TOP, RIGHT_BOTTOM = 1, 2, 3
"""What a point of a prompt is."""
Corner = tuple[float, float]
"""x and y, in shares of the picture."""


def load_tracker(source: str, *, revision: str | None = None, device: str | torch.device = "cpu") -> Any:
    """A Sam2VideoModel from a folder or "hub:owner/name". A path is never asked for on the hub.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: another kind of model.
    """
    from transformers import AutoConfig, Sam2VideoModel

    name = source.removeprefix(HUB)
    if name == source and not Path(source).is_dir():
        raise FileNotFoundError(f"{source}: no such folder with a tracker; one on the hub is hub:owner/name")
    try:
        kind = AutoConfig.from_pretrained(**place(source, revision)).model_type
        if kind != "sam2_video":
            raise ValueError(f"it is of the type {kind}; expected sam2_video, as hub:facebook/sam2.1-hiera-tiny")
        model: Any = Sam2VideoModel.from_pretrained(**place(source, revision), use_safetensors=True)
        return model.eval().requires_grad_(False).to(device)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{name} is no tracker: {line(error)}") from error


@torch.no_grad()
def follow(model: Any, frames: np.ndarray, start: Tensor | list[Corner]) -> Tensor:
    """Where an object of the first frame is in each: float32, 0 or 1, f h w.

    Args:
        model: from `load_tracker`.
        frames: uint8 (f h w 3).
        start: a point on it, the two corners of a box around it, or its mask in the first frame, h w.
    """
    from transformers import Sam2VideoInferenceSession

    height, width = frames.shape[1:3]
    session = Sam2VideoInferenceSession(
        video=_pixel_values(frames, model.image_size),
        video_height=height,
        video_width=width,
        inference_device=model.device,
        inference_state_device=model.device,
        dtype=model.dtype,
    )
    seen = session.obj_id_to_idx(1)
    if isinstance(start, Tensor):
        session.add_mask_inputs(seen, 0, _to(start[None, None].float().to(model.device), model.image_size) > 0.5)
    else:
        session.add_point_inputs(seen, 0, _points(start, model.image_size))
    session.obj_with_new_inputs = [1]
    outputs = model.propagate_in_video_iterator(session, start_frame_idx=0)
    logits = torch.cat([output.pred_masks.float() for output in outputs])
    return (functional.interpolate(logits, (height, width), mode="bilinear", align_corners=False)[:, 0] > 0).float()


def box_around(mask: Tensor) -> list[Corner]:
    """The corners of the smallest box around a mask, h w. Raises ValueError: it is empty."""
    height, width = mask.shape
    rows, columns = (mask > 0.5).any(1).nonzero(), (mask > 0.5).any(0).nonzero()
    if not len(rows):
        raise ValueError("the mask of the first frame is empty: there is nothing to follow")
    return [
        (columns[0].item() / width, rows[0].item() / height),
        ((columns[-1].item() + 1) / width, (rows[-1].item() + 1) / height),
    ]


def _points(corners: list[Corner], side: int) -> dict[str, Tensor]:
    """A point, or a box as two, as the session takes them: in pixels of the model's square."""
    labels = [POINT] if len(corners) == 1 else [LEFT_TOP, RIGHT_BOTTOM]
    return {"point_coords": torch.tensor([[corners]]) * side, "point_labels": torch.tensor([[labels]], dtype=torch.int)}


def _pixel_values(frames: np.ndarray, side: int) -> Tensor:
    """uint8 (f h w 3) to float32, f 3 side side."""
    pixels = _to(rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "f h w c -> f c h w").float() / 255, side)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (pixels - mean) / std


def _to(pictures: Tensor, side: int) -> Tensor:
    return functional.interpolate(pictures, (side, side), mode="bilinear", align_corners=False, antialias=True)
