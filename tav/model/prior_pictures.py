"""Prior preservation by pictures of a class (Ruiz et al. 2023, DreamBooth, arXiv 2208.12242, equation 2).

Each step learns a single picture of the class beside the video, under the class's own prompt, so that a network that
is tuned on one red car goes on drawing cars. To an inflated UNet a picture is a video of one frame, as FateZero has it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tav.model.ddim import Schedule, ddim_sample
from tav.model.denoiser import Network, guided
from tav.model.latents import Moments, decode
from tav.model.prompts import Prompts, join

AT_ONCE = 4
"""Pictures drawn in one batch: less memory than a step of tuning takes."""


class PriorPictures(NamedTuple):
    """What a tuning goes on drawing right."""

    moments: Moments
    """Posterior of the latents of n pictures: n c h w, of the video's c h w."""
    prompts: Prompts
    """One: what all of them show."""

    def tensors(self) -> Sequence[Tensor]:
        return *self.moments, self.prompts.embeds, *self.prompts.condition.values()

    def one(self, generator: torch.Generator) -> Moments:
        """Of a picture that is drawn by lot: 1 c h w."""
        lot = int(torch.randint(len(self.moments.mean), (1,), generator=generator))
        return Moments(*(part[lot : lot + 1] for part in self.moments))


def draw_pictures(
    pipe: Any,
    prompts: Prompts,
    negative: Prompts,
    shape: tuple[int, int, int],
    *,
    number: int,
    steps: int,
    guidance_scale: float,
    seed: int,
) -> np.ndarray:
    """Pictures that a pipeline draws of a prompt: uint8, n h w 3.

    Args:
        pipe: its UNet is inflated, and not tuned yet.
        prompts: one, what they show.
        negative: one, as a rule the empty prompt.
        shape: of the latents of a picture, c h w.
        number: n.
        steps: DDIM's.
        guidance_scale: see `guided`.
        seed: of the noise.
    """
    noise = torch.randn(number, *shape, generator=torch.Generator().manual_seed(seed))
    schedule, network, drawn = Schedule.of(pipe.scheduler, steps), Network(pipe.unet), []
    for batch in torch.split(noise, AT_ONCE):
        positives, negatives = join([prompts] * len(batch)), join([negative] * len(batch))
        denoise = guided(network, positives, negatives, guidance_scale)
        drawn.append(decode(pipe.vae, ddim_sample(denoise, schedule, batch.to(pipe.device))))
    return np.concatenate(drawn)
