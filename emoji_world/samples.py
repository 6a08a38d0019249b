"""Endless seeded batches of pictures with their captions, drawn as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from emoji_world.render import render_scene
from emoji_world.world import Scene, caption, sample_scene

SHADES = 512  # backgrounds of each kind in training; each is drawn once


def training_scenes(rng: np.random.Generator, number: int) -> list[Scene]:
    scenes = [sample_scene(rng) for _ in range(number)]
    return [replace(scene, shades=scene.shades % SHADES) for scene in scenes]


def draw(scenes: list[Scene], size: int = 32) -> Tensor:
    """Pixel values of scenes: float32 (b 3 size size) in [-1, 1]."""
    frames = np.stack([render_scene(scene, size, size) for scene in scenes])
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def captioned_batches(
    rng: np.random.Generator, batch_size: int, dropout: float = 0.0
) -> Iterator[tuple[Tensor, list[str]]]:
    """Pixel values and captions without end; a share of the captions is empty."""
    while True:
        scenes = training_scenes(rng, batch_size)
        words = ["" if rng.random() < dropout else caption(scene, rng) for scene in scenes]
        yield draw(scenes), words


@lru_cache
def tokenizer_of(folder: str):  # type: ignore[no-untyped-def]
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)


def token_ids(folder: str, words: list[str]) -> Tensor:
    """int64 (b 32), padded as Stable Diffusion pads."""
    tokens = tokenizer_of(folder)(words, padding="max_length", truncation=True, return_tensors="pt")
    return tokens.input_ids  # type: ignore[no-any-return]
