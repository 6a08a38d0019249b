"""Prior preservation (bryandlee/Tune-A-Video): frame 0 is held to what the image model predicts for it.

So that a network that is tuned on one video keeps more of what its base knew. No second network is needed: with the
tuned weights as they were at first, on a video of one frame, an inflated UNet is the image UNet (inflation.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from tav.model.denoiser import Attachment, DiffusionStep, Network
from tav.model.prompts import Prompts


class ImagePrior:
    """Built before the first step: it remembers the tuned weights as they are."""

    def __init__(self, unet: nn.Module, parameters: Mapping[str, nn.Parameter], weight: float) -> None:
        """weight: of its loss beside the video's."""
        self.unet, self.parameters, self.weight = unet, parameters, weight
        self.untuned = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def predict(
        self, noisy: Tensor, step: DiffusionStep, prompts: Prompts, attachments: Sequence[Attachment] = ()
    ) -> Tensor:
        """The image model's prediction for frame 0: 1 c h w.

        noisy: f c h w. attachments: what stands beside the UNet, and so beside the image model.
        """
        frames = torch.zeros(1, dtype=torch.long) if step.frames is None else step.frames[:1]
        with self._as_it_was():
            return Network(self.unet, attachments)(noisy[:1], replace(step, frames=frames), prompts)

    def loss(self, prediction: Tensor, expected: Tensor) -> Tensor:
        """prediction: of the video, f c h w; expected: from `predict`, with the same noise and time step."""
        return self.weight * functional.mse_loss(prediction[:1], expected)

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        tuned = {name: parameter.data for name, parameter in self.parameters.items()}
        try:
            for name, parameter in self.parameters.items():
                parameter.data = self.untuned[name]
            yield
        finally:
            for name, parameter in self.parameters.items():
                parameter.data = tuned[name]
