"""Edits in few steps: fewer noise levels than the inversion passed, and the steps of distilled LoRAs (LCM, TCD).

An edit starts from latents that the inversion found, so it may stop only where the inversion has been: the levels are
chosen among the inversion's own, evenly by their place and with the first, as diffusers' LCMScheduler chooses its own
among those of the distillation. What goes with the inversion (masks, word by word, controls) then meets the source at
the same noise as ever.

LCM (Luo et al. 2023, arXiv 2310.04378) and TCD (Zheng et al. 2024, arXiv 2402.19159) draw fresh noise after each step,
which leaves the inversion's path: what the first step makes of the latents is all that stays of the source's motion.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tav.model.ddim import Schedule, TakeStep, Trajectory, add_noise, clean_and_noise
from tav.model.denoiser import DiffusionStep

SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0
"""Of LCM's boundary condition, as in diffusers' LCMScheduler."""


def spread(levels: int, steps: int) -> list[int]:
    """Which of so many noise levels are taken: the first, and then evenly. Raises ValueError: more than there are."""
    if not 1 <= steps <= levels:
        raise ValueError(f"{steps} steps of an edit; expected 1 to {levels}, as many noise levels as it starts above")
    return [index * levels // steps for index in range(steps)]


def fewer(schedule: Schedule, inverted: Trajectory, steps: int) -> tuple[Schedule, Trajectory]:
    """A schedule of fewer steps, and the inversion as if it had taken these alone. Raises ValueError.

    Args:
        schedule: the inversion's, from the edit's first step on.
        inverted: without noise maps, which are for each of its steps.
        steps: of the edit.
    """
    if inverted.noises is not None:
        raise ValueError("an edit_friendly inversion has noise maps for each of its steps: all of them are taken")
    taken = spread(len(schedule), steps)
    left = [0, *(len(schedule) - index for index in reversed(taken))]
    alphas = torch.cat([schedule.alphas[taken], schedule.alphas[-1:]])
    return Schedule(schedule.timesteps[taken], alphas, schedule.prediction_type), Trajectory(inverted.latents[left])


def lcm(schedule: Schedule, seed: int) -> TakeStep:
    """Steps of a latent consistency model, as diffusers' LCMScheduler takes them. seed: of the noise."""
    noise = _noise(seed)

    def take(latents: Tensor, prediction: Tensor, step: DiffusionStep) -> Tensor:
        clean, _ = clean_and_noise(latents, prediction, schedule.alphas[step.index], schedule.prediction_type)
        scaled = float(step.timestep) * TIMESTEP_SCALING
        skip, out = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2), scaled / math.hypot(scaled, SIGMA_DATA)
        denoised = out * clean + skip * latents
        if step.steps_left == 1:
            return denoised
        return add_noise(denoised, noise(latents), schedule.alphas[step.index + 1])

    return take


def tcd(schedule: Schedule, alphas_cumprod: Tensor, eta: float, seed: int) -> TakeStep:
    """Steps of trajectory consistency distillation, as diffusers' TCDScheduler takes them. Hyper-SD has them, too.

    Args:
        schedule: what is walked.
        alphas_cumprod: alpha bar of all of the model's time steps.
        eta: share of each step that is noise drawn afresh. 0: none, which is DDIM. (gamma of the paper.)
        seed: of the noise.
    """
    noise, targets = _noise(seed), [*schedule.timesteps[1:].tolist(), 0]

    def take(latents: Tensor, prediction: Tensor, step: DiffusionStep) -> Tensor:
        alpha, target = schedule.alphas[step.index], targets[step.index]
        clean, predicted = clean_and_noise(latents, prediction, alpha, schedule.prediction_type)
        below = alphas_cumprod[math.floor((1 - eta) * target)]
        latents = add_noise(clean, predicted, below)
        if eta == 0 or step.steps_left == 1:
            return latents
        share = alphas_cumprod[target] / below
        return share**0.5 * latents + (1 - share) ** 0.5 * noise(latents)

    return take


def _noise(seed: int) -> Callable[[Tensor], Tensor]:
    """Gives noise of latents' shape, another each time, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return lambda latents: torch.randn(latents.shape, generator=generator).to(latents.device)
