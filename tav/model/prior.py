"""Prior preservation (bryandlee/Tune-A-Video): frame 0 is held to what the image model predicts for it.

So that a network that is tuned on one video keeps more of what its base knew. No second network is needed: with the
tuned weights as they were at first, on a video of one frame, an inflated UNet is the image UNet (inflation.py).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from tav.model.denoiser import predict_noise
from tav.model.prompts import Prompts


class ImagePrior:
    """Built before the first step: it remembers the tuned weights as they are."""

    def __init__(self, unet: nn.Module, parameters: Mapping[str, nn.Parameter], weight: float) -> None:
        """weight: of its loss beside the video's."""
        self.unet, self.parameters, self.weight = unet, parameters, weight
        self.untuned = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def predict(self, noisy: Tensor, timestep: Tensor, prompts: Prompts) -> Tensor:
        """The image model's prediction for frame 0: 1 c h w. noisy: f c h w."""
        with self._as_it_was():
            return predict_noise(self.unet, noisy[:1], timestep, *prompts)

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
