"""Endless seeded batches of the world at 64 pixels, of three sizes, drawn as they are needed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from emoji_world.render64 import render_scene
from emoji_world.world64 import SIZES, Scene, caption, sample_scene

SHADES = 256  # backgrounds of each kind in training; each is drawn once a size
SIZE_ODDS = (0.6, 0.2, 0.2)


def draw(scenes: list[Scene], height: int = 64, width: int = 64) -> Tensor:
    """Pixel values of scenes: float32 (b 3 height width) in [-1, 1]."""
    frames = np.stack([render_scene(scene, height, width) for scene in scenes])
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def captioned_batches(
    rng: np.random.Generator, batch_size: int, dropout: float = 0.0
) -> Iterator[tuple[Tensor, list[str]]]:
    """Pixel values, of one size a batch, and captions without end; a share of the captions is empty."""
    while True:
        height, width = SIZES[int(rng.choice(len(SIZES), p=SIZE_ODDS))]
        scenes = [sample_scene(rng, shades=SHADES) for _ in range(batch_size)]
        words = ["" if rng.random() < dropout else caption(scene, rng) for scene in scenes]
        yield draw(scenes, height, width), words
