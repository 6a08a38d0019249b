"""Where words of a video's caption are, by the cross-attention of the network on the video's own inverted latents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tav.model.cross_attention import WordMaps, cross_attention_through
from tav.model.ddim import Schedule, Trajectory
from tav.model.denoiser import Denoiser, DiffusionStep, PromptedNetwork, prompted
from tav.model.prompts import Prompts

STEPS = 10
"""Noise levels that are looked at, evenly spread."""


@dataclass
class _Reader:
    """A network whose maps are noted."""

    network: PromptedNetwork
    seen: WordMaps
    step: DiffusionStep | None = None

    def __call__(self, latents: Tensor, step: DiffusionStep, prompts: Prompts) -> Tensor:
        self.step = step
        return self.network(latents, step, prompts)

    def rows(self) -> tuple[int, list[int]]:
        return 1, [0]

    def use(self, maps: Tensor) -> Tensor:
        assert self.step is not None
        self.seen.add(maps, self.step.frames)
        return maps


@torch.no_grad()
def maps_of_words(
    unet: Any,
    network: PromptedNetwork,
    schedule: Schedule,
    inverted: Trajectory,
    prompts: Prompts,
    marks: Tensor,
    *,
    around: Callable[[Denoiser], Denoiser] = lambda denoise: denoise,
) -> Tensor:
    """How much each place of each frame looks at some words: float32, f h w, h and w of a layer of the network.

    Args:
        unet: the network's, inflated.
        network: see PromptedNetwork.
        schedule: the inversion's, the whole of it.
        inverted: the video's.
        prompts: what the video shows.
        marks: which of its tokens count: 1 m, from `alignment.chosen`.
        around: as for inversion: windows, where not all frames go through the network at once.
    """
    seen = WordMaps(marks, inverted.latents.shape[1])
    reader = _Reader(network, seen)
    denoise = around(prompted(reader, prompts))
    with cross_attention_through(reader, unet):
        for index in spread(len(schedule), STEPS):
            step = DiffusionStep(schedule.timesteps[index], index, len(schedule))
            latents = inverted.at(step.steps_left).to(next(unet.parameters()).device)
            denoise(latents, step)
    return seen.read(*inverted.latents.shape[-2:])[0]


def spread(count: int, some: int) -> Sequence[int]:
    """At most `some` numbers below `count`, evenly spread, each in the middle of its part."""
    some = min(count, some)
    return [int((i + 0.5) * count / some) for i in range(some)]
