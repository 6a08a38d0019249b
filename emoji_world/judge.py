"""A judge that knows shapes: which noun (or nothing), background, style, and where, and in what hue.

Trained on renders of every hue, so colour alone doesn't make it name a noun. Stickers smeared past
recognition count as nothing. `python -m emoji_world.judge models/emoji-world` trains it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from emoji_world.features import worn
from emoji_world.loop import fit
from emoji_world.render import render_scene
from emoji_world.samples import training_scenes
from emoji_world.settings import load_settings
from emoji_world.world import BACKGROUNDS, NOTHING, NOUNS, STYLES, Scene

NOUN_CLASSES = (*NOUNS, NOTHING)
BACKGROUND_CLASSES, STYLE_CLASSES = tuple(BACKGROUNDS), tuple(STYLES)
SIZES = [len(NOUN_CLASSES), len(BACKGROUND_CLASSES), len(STYLE_CLASSES), 3, 2]
WIDTHS = (3, 48, 64, 96, 128)
NOTHING_SHARE = 0.15


class Judge(nn.Module):
    """Reads float (b 3 32 32) in [-1, 1]: logits of noun, background, style; x, y, size; hue as a vector."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(WIDTHS)):
            layers += [
                nn.Conv2d(before, after, 3, stride=1 + (number > 0), padding=1),
                nn.GroupNorm(8, after),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTHS[-1] * 16, 256), nn.ReLU())
        self.head = nn.Linear(256, sum(SIZES))

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        outputs: Tensor = self.head(self.body(pixel_values))
        parts: tuple[Tensor, ...] = torch.split(outputs, SIZES, dim=1)
        return parts


@dataclass(frozen=True)
class Reading:
    """What the judge sees in n pictures. Places and sizes are shares of the width."""

    nouns: list[str]
    backgrounds: list[str]
    styles: list[str]
    places: NDArray[np.float32]
    """(n 3): x, y, size"""
    hues: NDArray[np.float32]
    """(n) degrees"""


@torch.no_grad()
def read(judge: Judge, frames: NDArray[np.uint8]) -> Reading:
    """Read pictures: uint8 (n 32 32 3)."""
    noun, background, style, place, hue = judge(_pixel_values(frames))
    return Reading(
        nouns=[NOUN_CLASSES[i] for i in noun.argmax(1)],
        backgrounds=[BACKGROUND_CLASSES[i] for i in background.argmax(1)],
        styles=[STYLE_CLASSES[i] for i in style.argmax(1)],
        places=place.numpy(),
        hues=torch.rad2deg(torch.atan2(hue[:, 1], hue[:, 0])).remainder(360).numpy(),
    )


def load_judge(folder: Path) -> Judge:
    judge = Judge()
    judge.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    return judge.eval()


def _pixel_values(frames: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def _examples(rng: np.random.Generator, number: int) -> tuple[Tensor, list[Scene]]:
    """Renders and what is in them, some without a sticker or with a smeared one."""
    scenes = training_scenes(rng, number)
    frames = []
    for i, scene in enumerate(scenes):
        if rng.random() >= NOTHING_SHARE:
            frames.append(render_scene(scene))
            continue
        scenes[i] = replace(scene, noun=NOTHING)
        frames.append(render_scene(scenes[i]) if rng.random() < 0.5 else _smeared(render_scene(scene), scene))
    return worn(_pixel_values(np.stack(frames))), scenes


def _smeared(frame: NDArray[np.uint8], scene: Scene) -> NDArray[np.uint8]:
    """The frame with the inside of its sticker blurred past recognition."""
    y, x = np.mgrid[:32, :32] + 0.5
    inside = np.hypot(x - scene.x * 32, y - scene.y * 32) < scene.size * 16
    blurred = cv2.GaussianBlur(frame, (0, 0), scene.size * 8)
    return np.where(inside[..., None], blurred, frame).astype(np.uint8)


def judge_loss(judge: Judge, pixel_values: Tensor, scenes: list[Scene]) -> Tensor:
    """Cross entropies, and squared errors of place (where there is one) and hue (where it shows)."""
    noun, background, style, place, hue = judge(pixel_values)
    there = torch.tensor([scene.noun != NOTHING for scene in scenes])
    coloured = there & torch.tensor([scene.style == "plain" for scene in scenes])
    angle = torch.deg2rad(torch.tensor([scene.hue for scene in scenes]))
    place_error = place - torch.tensor([[scene.x, scene.y, scene.size] for scene in scenes])
    hue_error = hue - torch.stack([angle.cos(), angle.sin()], dim=1)
    loss: Tensor = (
        cross_entropy(noun, torch.tensor([NOUN_CLASSES.index(scene.noun) for scene in scenes]))
        + 0.5 * cross_entropy(background, torch.tensor([BACKGROUND_CLASSES.index(s.background) for s in scenes]))
        + 0.5 * cross_entropy(style, torch.tensor([STYLE_CLASSES.index(scene.style) for scene in scenes]))
        + 20 * place_error[there].square().mean()
        + hue_error[coloured].square().mean()
    )
    return loss


def main(folder: Path) -> None:
    settings = load_settings(folder).judge
    torch.manual_seed(settings.seed)
    rng, judge = np.random.default_rng(settings.seed), Judge()
    checkpoint = folder / ".checkpoints" / "judge.pt"
    fit(judge, lambda: judge_loss(judge, *_examples(rng, settings.batch_size)), settings, checkpoint)
    (folder / "judge").mkdir(exist_ok=True)
    save_file(judge.half().state_dict(), folder / "judge" / "model.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
