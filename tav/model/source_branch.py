"""The source in the batch beside its edit, so that the network can give what it sees in one to the other.

    one batch: [source, negative prompt, target prompt], each a video

The source's latents are the inversion's own at each step. So its row has no error to add up, as in direct inversion
(Ju et al. 2023, arXiv 2310.01506), which corrects a sampled source by just what it is off; and it costs no guidance.
Nothing in the network is replaced: forward hooks hand a module's output for the source to other rows.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from tav.model.ddim import Trajectory
from tav.model.denoiser import DiffusionStep, PromptedNetwork
from tav.model.prompts import Prompts, join

Follows = Callable[[DiffusionStep], bool]
"""Whether at a step the edit takes what the source has."""


@dataclass
class SourceBranch:
    """A Denoiser with guidance, and the source in the batch while `needed` says so."""

    network: PromptedNetwork
    inverted: Trajectory
    """The source's, (n + 1) f c h w."""
    source: Prompts
    """What the source shows. It and the next two: one prompt a video, or one a frame for an image UNet."""
    target: Prompts
    negative: Prompts
    scale: float
    """Of guidance; 1 is none."""
    split: bool = False
    """One half of guidance after the other, for less memory."""
    negative_follows: bool = False
    """Whether the negative prompt's row follows the source too."""
    needed: Follows = field(default=lambda _: True)
    step: DiffusionStep | None = None
    """The step that runs."""
    videos: int = 1
    """Of the batch that runs. 1: the source isn't there."""

    def __call__(self, latents: Tensor, step: DiffusionStep) -> Tensor:
        self.step = step
        if self.scale == 1:
            (target,) = self._run(latents, step, [self.target], beside=True)
            return target
        if self.split:
            (negative,) = self._run(latents, step, [self.negative], beside=self.negative_follows)
            (target,) = self._run(latents, step, [self.target], beside=True)
        else:
            negative, target = self._run(latents, step, [self.negative, self.target], beside=True)
        return negative + self.scale * (target - negative)

    def _run(self, latents: Tensor, step: DiffusionStep, prompts: list[Prompts], *, beside: bool) -> list[Tensor]:
        """A prediction for each of the prompts."""
        if not (beside and self.needed(step)):
            self.videos = 1
            return list(self.network(latents.repeat(len(prompts), 1, 1, 1), step, join(prompts)).chunk(len(prompts)))
        self.videos = 1 + len(prompts)
        source = self.source_latents(step, step.steps_left).to(latents)
        batch = torch.cat([source, latents.repeat(len(prompts), 1, 1, 1)])
        return list(self.network(batch, step, join([self.source, *prompts])).chunk(self.videos)[1:])

    def source_latents(self, step: DiffusionStep, steps_left: int) -> Tensor:
        """The source's, of the frames that the step is about: f c h w."""
        latents = self.inverted.at(steps_left)
        return latents if step.frames is None else latents[step.frames.to(latents.device)]

    def order(self) -> list[int]:
        """Which row of the batch each row takes the place of, where the edit follows the source."""
        first = 1 if self.negative_follows else self.videos - 1
        return [row if row < first else 0 for row in range(self.videos)]


@contextmanager
def following(branch: SourceBranch, modules: Iterable[nn.Module], follows: Follows) -> Iterator[None]:
    """Within, the modules give the edit what they give the source, at the steps where it `follows`.

    To give an edit the source's queries and keys, and leave it its values, is to give it the source's attention map:
    softmax(q k) v. So no map is built, and the fused kernels stay.
    """

    def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor | None:
        if branch.videos == 1 or branch.step is None or not follows(branch.step):
            return None
        rows = rearrange(output, "(v f) ... -> v f ...", v=branch.videos)[branch.order()]
        return rearrange(rows, "v f ... -> (v f) ...")

    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_share(share: float) -> Follows:
    """The first steps of the way: 0 none, 1 all."""
    return lambda step: step.index < share * step.count
