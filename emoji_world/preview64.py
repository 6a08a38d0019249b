"""What a half-trained UNet of the world at 64 pixels draws, decoded by the linear inverse alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from emoji_world.architecture import new_scheduler
from emoji_world.features64 import NUM_FEATURES, PATCH, unpatch_features
from emoji_world.samples import token_ids
from emoji_world.text_to_image import Training
from emoji_world.world64 import caption, sample_scene
from tav.model.inflation import set_num_frames

COLUMNS = 8
STEPS = 25
GUIDANCE = 3.0
SEED = 1


def sample(state: Training, ids: Tensor, empty: Tensor, size: int = 64) -> Tensor:
    """Pictures of captions: float (b 3 size size) in [-1, 1], each norm over one picture."""
    set_num_frames(state.unet, 1)
    scheduler = new_scheduler()
    scheduler.set_timesteps(STEPS)
    shape = len(ids), NUM_FEATURES, size // PATCH, size // PATCH
    features = torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        embeds = state.text_encoder(torch.cat([empty.expand_as(ids), ids])).last_hidden_state
        for timestep in scheduler.timesteps:
            free, told = state.unet(torch.cat([features] * 2), timestep, embeds).sample.chunk(2)
            features = scheduler.step(free + GUIDANCE * (told - free), timestep, features).prev_sample
    return unpatch_features(features).clamp(-1, 1)


def draw_preview(state: Training, tokenizer: Path, picture: Path) -> list[str]:
    """Write a sheet of 32 pictures, the lower half of two subjects, and give their captions."""
    rng = np.random.default_rng(SEED)
    scenes = [sample_scene(rng, num_subjects=number) for number in (1, 2) for _ in range(2 * COLUMNS)]
    captions = [caption(scene) for scene in scenes]
    pixels = sample(state, token_ids(str(tokenizer), captions), token_ids(str(tokenizer), [""]))
    frames = ((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    rows = [np.concatenate(list(frames[i : i + COLUMNS]), axis=1) for i in range(0, len(frames), COLUMNS)]
    Image.fromarray(np.concatenate(rows)).save(picture)
    return captions
