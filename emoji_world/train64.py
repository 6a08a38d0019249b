"""Train the text encoder and the UNet of the Stable Diffusion of Emoji World at 64 pixels.

`python -m emoji_world.train64 models/emoji-world-64` trains in one process of one thread until the
pictures that params.yaml there names have been seen, over as many sessions as that takes: it
writes a checkpoint every few minutes and goes on from it. The learning rate follows the pictures
seen. Every kind of step is drawn from the start, also those in which a group norm runs over
several unrelated pictures, as a video UNet's norms run over its frames.

`--preview PICTURE.png` draws what the averaged weights of the last checkpoint give, and trains nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from functools import partial
from math import cos, pi
from pathlib import Path

import numpy as np
import torch

from emoji_world.architecture import new_scheduler, new_unet
from emoji_world.features64 import NUM_FEATURES, patch_features
from emoji_world.preview64 import draw_preview
from emoji_world.samples import token_ids, tokenizer_of
from emoji_world.samples64 import captioned_batches
from emoji_world.settings import TextToImage64, load_settings64
from emoji_world.text_to_image import TOGETHER, Training, export, start, take_step, velocity_loss
from emoji_world.tokenizer import save_tokenizer
from emoji_world.world64 import words

CHECKPOINT = Path(".checkpoints/text_to_image.pt")
TOKENIZER = Path("stable-diffusion/tokenizer")
REPORT_STEPS = 50


def learning_rate(settings: TextToImage64, step: int) -> float:
    """Rises over the first steps, then falls to zero over the pictures that shall be seen."""
    seen = min(1.0, step * settings.batch_size / settings.pictures)
    warm = min(1.0, (step + 1) / settings.warmup_steps)
    return settings.learning_rate * warm * (0.5 + 0.5 * cos(pi * seen)) + 1e-6


def resume(folder: Path, settings: TextToImage64) -> Training:
    """The training as its last checkpoint left it, else new."""
    save_tokenizer(folder / TOKENIZER, words())
    vocabulary = len(tokenizer_of(str(folder / TOKENIZER)))
    state = start(settings, vocabulary, "cpu", partial(new_unet, NUM_FEATURES, settings.widths))
    if (folder / CHECKPOINT).is_file():
        state.load(folder / CHECKPOINT, "cpu")
    return state


def losses(folder: Path, settings: TextToImage64, state: Training) -> Iterator[torch.Tensor]:
    """The loss on a batch, without end. The pictures follow from the seed and the step it begins at."""
    rng = np.random.default_rng([settings.seed, state.step])
    noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
    batches = captioned_batches(rng, settings.batch_size, settings.caption_dropout)
    groups = [number for number in TOGETHER if settings.batch_size % number == 0]
    scheduler, tokenizer = new_scheduler(), str(folder / TOKENIZER)
    for pixel_values, captions in batches:
        features, ids = patch_features(pixel_values), token_ids(tokenizer, captions)
        yield velocity_loss(state, scheduler, features, ids, noise, int(rng.choice(groups)))


def train(folder: Path) -> Training:
    """Train until all pictures have been seen, and write a checkpoint every few minutes and at the end."""
    settings = load_settings64(folder).text_to_image
    state = resume(folder, settings)
    began = saved = time.monotonic()
    first, mean = state.step, 0.0
    for loss in losses(folder, settings, state):
        if state.step * settings.batch_size >= settings.pictures:
            break
        torch.autograd.backward(loss)
        take_step(state, learning_rate(settings, state.step), settings.ema_decay)
        mean = mean + 0.01 * (loss.item() - mean) if mean else loss.item()
        if state.step % REPORT_STEPS == 0:
            pace = (state.step - first) * settings.batch_size / (time.monotonic() - began)
            _report(state.step * settings.batch_size, settings.pictures, pace, mean)
        if time.monotonic() - saved > 60 * settings.checkpoint_minutes:
            state.save(folder / CHECKPOINT)
            saved = time.monotonic()
    state.save(folder / CHECKPOINT)
    return state


def _report(seen: int, wanted: int, pace: float, loss: float) -> None:
    left = (wanted - seen) / pace / 3600
    print(f"{seen} of {wanted} pictures, {pace:.1f}/s, loss {loss:.4f}, {left:.1f} h left", flush=True)


def preview(folder: Path, picture: Path) -> None:
    """Draw a sheet with the averaged weights of the last checkpoint.

    Raises:
        FileNotFoundError: there is none.
    """
    if not (folder / CHECKPOINT).is_file():
        raise FileNotFoundError(f"got no {folder / CHECKPOINT}, expected a checkpoint: train first")
    state = resume(folder, load_settings64(folder).text_to_image)
    for parameter, average in zip(state.parameters, state.averages, strict=True):
        parameter.data.copy_(average)
    draw_preview(state, folder / TOKENIZER, picture)


def main() -> None:
    """Train and export, or draw a preview."""
    parser = argparse.ArgumentParser(description="Train Emoji World's Stable Diffusion at 64 pixels.")
    parser.add_argument("folder", type=Path, help="with params.yaml, such as models/emoji-world-64")
    parser.add_argument("--preview", type=Path, metavar="PNG", help="only draw what the last checkpoint gives")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.preview:
        preview(asked.folder, asked.preview)
    else:
        export(train(asked.folder), asked.folder / "stable-diffusion")


if __name__ == "__main__":
    main()
