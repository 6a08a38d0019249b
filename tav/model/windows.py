"""Long videos, a window of frames at a time: predictions are averaged where windows overlap.

Nothing in the network knows a frame's place in time, so a window is a video like any other. Weights that fall towards a
window's ends hide its seams (diffusers' FreeNoise has them, too; equal weights were no better than no overlap).
Averaging predictions and then taking a step is averaging steps: DDIM's is linear in the prediction.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor

from tav.model.denoiser import Denoiser, DiffusionStep

OnWindow = Callable[[int, int], None]
"""Called after each window with the number of windows done in this step and of all."""


def windows_of(num_frames: int, frames: int, overlap: int) -> list[range]:
    """Which frames each window has: all have `frames`, so the last is shifted back, and each frame is in one at least.

    Args:
        num_frames: of the video.
        frames: of a window; a video that is no longer is one window.
        overlap: frames that a window has in common with the next, fewer than `frames`.
    """
    if not 0 <= overlap < frames:
        raise ValueError(f"windows of {frames} frames got an overlap of {overlap}; expected 0 to {frames - 1}")
    if num_frames <= frames:
        return [range(num_frames)]
    starts = [*range(0, num_frames - frames, frames - overlap), num_frames - frames]
    return [range(start, start + frames) for start in starts]


def windowed(denoise: Denoiser, frames: int, overlap: int, *, on_window: OnWindow | None = None) -> Denoiser:
    """A denoiser of one long video around one of shorter videos. Of a video that fits into a window it is that one.

    Frame 0 is in front of every window: sparse-causal attention and the norms hang on it. So `denoise` sees a frame
    more than `frames`; which ones stands in `DiffusionStep.frames`.
    """

    def denoise_windows(latents: Tensor, step: DiffusionStep) -> Tensor:
        windows = windows_of(len(latents), frames, overlap)
        if len(windows) == 1:
            return denoise(latents, step)
        total, weights = torch.zeros_like(latents), torch.zeros(len(latents), device=latents.device)
        for done, window in enumerate(windows, 1):
            seen = torch.tensor(window if 0 in window else [0, *window], device=latents.device)
            prediction = denoise(latents[seen], replace(step, frames=seen))[-len(window) :]
            weight = pyramid(len(window)).to(latents.device)
            total[window.start : window.stop] += rearrange(weight, "f -> f 1 1 1") * prediction
            weights[window.start : window.stop] += weight
            if on_window is not None:
                on_window(done, len(windows))
        return total / rearrange(weights, "f -> f 1 1 1")

    return denoise_windows


def pyramid(length: int) -> Tensor:
    """1, 2, ... 2, 1: f."""
    places = torch.arange(1, length + 1)
    return torch.minimum(places, places.flip(0)).float()
