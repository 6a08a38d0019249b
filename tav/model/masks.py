"""Masks: where an edit may change a video. float32 in [0, 1], f h w; 1 is where it may.

Outside, the source's own latents are put back at each step (Blended Latent Diffusion, Avrahami et al. 2022, arXiv
2206.02779, whose source is noised; here it is the inversion's), and the source's pixels at the end.
"""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from tav.model.ddim import AfterStep, Trajectory
from tav.model.denoiser import DiffusionStep

SMOOTH = (0.25, 0.5, 0.25)
"""Weights of the frame before, the frame and the one after, where a mask is smoothed over time."""


def box_mask(box: tuple[float, float, float, float], height: int, width: int) -> Tensor:
    """1 inside a box of left, top, right and bottom, in shares of the picture: h w. Pixels count by their middle."""
    left, top, right, bottom = box
    x, y = (torch.arange(side) + 0.5 for side in (width, height))
    across, down = (left * width <= x) & (x < right * width), (top * height <= y) & (y < bottom * height)
    return (down[:, None] & across).float()


def shape_mask(mask: Tensor, *, grow: int = 0, feather: int = 0, invert: bool = False) -> Tensor:
    """A mask as asked for: inverted, then grown, then feathered.

    Args:
        mask: f h w.
        grow: pixels by which it gets wider on each side; below 0, narrower.
        feather: pixels, on each side of the edge, over which it falls off. Further away it stays exactly 0 or 1.
        invert: 1 becomes 0.
    """
    mask = 1 - mask if invert else mask
    mask = _widest(mask, grow) if grow >= 0 else 1 - _widest(1 - mask, -grow)
    return _mean(mask, feather) if feather else mask


def mask_of_latents(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask for latents: f 1 height width. A latent may change where any of its pixels may, and one further around.

    The one around is the reach of the VAE's first convolutions; thin parts would be lost in a mean.
    """
    return _widest(functional.adaptive_max_pool2d(mask, (height, width)), 1)[:, None]


def mask_of_maps(maps: Tensor, height: int, width: int, threshold: float) -> Tensor:
    """Where words are, by their cross-attention: 0 or 1, f height width.

    As Prompt-to-Prompt's local blend: each place takes the highest of its neighbours, each frame counts by its own
    highest. Enlarged bilinearly, for edges without steps.

    Args:
        maps: f h w, 0 or more.
        height: of the mask.
        width: of the mask.
        threshold: share of a frame's highest value; more is inside.
    """
    wider = functional.max_pool2d(maps[:, None], 3, stride=1, padding=1)
    sized = functional.interpolate(wider, (height, width), mode="bilinear", align_corners=False)[:, 0]
    highest = sized.amax((1, 2), keepdim=True).clamp(min=torch.finfo(sized.dtype).tiny)
    return (sized / highest > threshold).float()


def smooth_over_time(maps: Tensor) -> Tensor:
    """Each frame's map with a little of its neighbours': f h w in and out. The ends count for what is beyond them.

    Each has the same weight: of a frame that was seen more often, sums are larger.
    """
    maps = maps / maps.mean((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    before, after = torch.cat([maps[:1], maps[:-1]]), torch.cat([maps[1:], maps[-1:]])
    return SMOOTH[0] * before + SMOOTH[1] * maps + SMOOTH[2] * after


def blend(source: Tensor, edited: Tensor, mask: Tensor) -> Tensor:
    """The edit inside the mask, the source outside; exactly so where the mask is 1 or 0."""
    return torch.lerp(source, edited, mask.to(edited).expand_as(edited))


def blend_frames(source: np.ndarray, edited: np.ndarray, mask: Tensor) -> np.ndarray:
    """`blend` of frames: uint8 (f h w 3). mask: f h w."""
    before, after = (torch.from_numpy(frames).float() for frames in (source, edited))
    mixed = blend(before, after, rearrange(mask, "f h w -> f h w 1"))
    return mixed.round().to(torch.uint8).numpy()


def source_outside(mask: Tensor, inverted: Trajectory) -> AfterStep:
    """After each step, the source's own latents outside of a mask of its frames, f h w."""
    small = mask_of_latents(mask, *inverted.latents.shape[-2:])

    def after_step(latents: Tensor, step: DiffusionStep) -> Tensor:
        return blend(inverted.at(step.steps_left - 1).to(latents), latents, small)

    return after_step


def in_turn(calls: Sequence[AfterStep]) -> AfterStep | None:
    """One after the other."""

    def after_step(latents: Tensor, step: DiffusionStep) -> Tensor:
        for call in calls:
            latents = call(latents, step)
        return latents

    return after_step if calls else None


def _widest(mask: Tensor, reach: int) -> Tensor:
    """The highest value within some pixels, in a square: f h w."""
    across = functional.max_pool2d(mask[:, None], (1, 2 * reach + 1), stride=1, padding=(0, reach))
    return functional.max_pool2d(across, (2 * reach + 1, 1), stride=1, padding=(reach, 0))[:, 0]


def _mean(mask: Tensor, reach: int) -> Tensor:
    """The mean within some pixels, in a square; the picture's edge goes on: f h w."""
    wide = functional.pad(mask[:, None], (reach, reach, reach, reach), mode="replicate")
    across = functional.avg_pool2d(wide, (1, 2 * reach + 1), stride=1)
    return functional.avg_pool2d(across, (2 * reach + 1, 1), stride=1)[:, 0]
