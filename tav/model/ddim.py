"""DDIM, both ways: a video's latents to noise, and noise to an edited video (paper, section 4.2; Song et al. 2021).

Latents are `(b f) c h w`. The network comes as a Denoiser (denoiser.py says what may be put around it), the noise
levels as a Schedule, of which the caller takes the part that it wants walked: `strength` is a slice of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from tav.model.denoiser import Denoiser, DiffusionStep
from tav.model.pretrained import ddim_scheduler

OnStep = Callable[[int, int], None]
"""Called after each step with the number of steps done and of all."""
TakeStep = Callable[[Tensor, Tensor, DiffusionStep], Tensor]
"""From latents (b f) c h w, the prediction for them and the step, to the latents after it."""
Room = Callable[..., Tensor]
"""Makes an empty float32 tensor of a shape, for what is kept: in memory, as torch.empty, or on disk."""
AfterStep = Callable[[Tensor, DiffusionStep], Tensor]
"""Called with the latents after sampling's step, and gives those that sampling goes on with."""


@dataclass(frozen=True)
class Schedule:
    """The noise levels that inversion climbs and sampling descends."""

    timesteps: Tensor
    """n, the one with the most noise first."""
    alphas: Tensor
    """n + 1: alpha bar (how much of the variance is picture) at each time step, then at the end, where it is clean."""
    prediction_type: str
    """epsilon or v_prediction. The official code (util.py, next_step) takes every model for an epsilon one."""

    @classmethod
    def of(cls, scheduler: Any, num_inference_steps: int) -> Self:
        """A model's, in so many steps. Its scheduler may be of any class: its config counts. Raises ValueError."""
        ddim = ddim_scheduler(scheduler)
        prediction_type = ddim.config.prediction_type
        if prediction_type not in {"epsilon", "v_prediction"}:
            raise ValueError(f"the model's prediction_type is {prediction_type}; expected epsilon or v_prediction")
        ddim.set_timesteps(num_inference_steps)
        end = int(ddim.timesteps[-1]) - ddim.config.num_train_timesteps // num_inference_steps
        last = ddim.alphas_cumprod[end] if end >= 0 else ddim.final_alpha_cumprod
        alphas = torch.cat([ddim.alphas_cumprod[ddim.timesteps], last.reshape(1)])
        return cls(ddim.timesteps, alphas, prediction_type)

    def __len__(self) -> int:
        return len(self.timesteps)

    def from_step(self, start: int) -> Self:
        """Without the first steps, those with the most noise. Raises ValueError where none is left."""
        if not 0 <= start < len(self):
            raise ValueError(f"start is {start}; expected 0 to {len(self) - 1}, a step of the schedule")
        return type(self)(self.timesteps[start:], self.alphas[start:], self.prediction_type)


@dataclass(frozen=True)
class Trajectory:
    """A video's latents on their way from clean to noise, as inversion found them. In memory, or on disk."""

    latents: Tensor
    """float32, (n + 1) (b f) c h w: the clean ones, then those after each of the inversion's n steps."""
    noises: Tensor | None = None
    """n (b f) c h w: what each step of sampling has to add to pass through `latents` (edit_friendly.py). None: nothing.
    The first is of the step with none left after it."""

    @property
    def steps(self) -> int:
        return len(self.latents) - 1

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name, to be kept; `Trajectory(**tensors)` is this one again."""
        return {"latents": self.latents} if self.noises is None else {"latents": self.latents, "noises": self.noises}

    def at(self, steps_left: int) -> Tensor:
        """The latents from which so many steps of sampling lead to the clean ones: (b f) c h w."""
        if not 0 <= steps_left <= self.steps:
            raise ValueError(f"{steps_left} steps from clean latents; the inversion took {self.steps}")
        return self.latents[steps_left]


def first_step(strength: float, num_inference_steps: int) -> int:
    """The first step that is denoised. Of 50 steps, strength 1.0 starts at 0 and 0.5 at 25."""
    return num_inference_steps - max(1, min(num_inference_steps, int(num_inference_steps * strength + 1e-6)))


def start_from_noise(clean: Tensor, schedule: Schedule, *, pure: bool, seed: int) -> Tensor:
    """Latents to start an edit from without inversion: float32, f c h w.

    Args:
        clean: the video's latents, f c h w.
        schedule: what will be walked.
        pure: noise alone; else the clean latents with the first step's share of noise (SDEdit).
        seed: of the noise.
    """
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed)).to(clean.device)
    return noise if pure else add_noise(clean, noise, schedule.alphas[0])


def add_noise(clean: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """Latents at the noise level `alpha` (alpha bar, a number)."""
    return alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise


@torch.no_grad()
def ddim_invert(
    denoise: Denoiser,
    schedule: Schedule,
    latents: Tensor,
    *,
    refine: int = 0,
    room: Room = torch.empty,
    on_step: OnStep | None = None,
) -> Trajectory:
    """Latents of a video to latents that sampling leads back to it (paper, section 4.2).

    A step of the paper's asks the network about the latents before it; sampling will ask it about those after it. With
    `refine` each step asks again about what it came to, which goes towards the latents that sampling leads back from
    exactly (a fixed point: Garibi et al. 2024, ReNoise, arXiv 2403.14602, without its averages and regularisation).

    Args:
        denoise: without guidance; the official code takes the empty prompt.
        schedule: of this and of the sampling that follows.
        latents: (b f) c h w, scaled.
        refine: how often a step asks again.
        room: where the trajectory is kept.
        on_step: see OnStep.

    Raises:
        FloatingPointError: they are not finite.
    """
    reached = latents.float()
    passed = room(len(schedule) + 1, *latents.shape)
    passed[0] = reached
    for index in reversed(range(len(schedule))):
        step = DiffusionStep(schedule.timesteps[index], index, len(schedule))
        before, prediction = reached, denoise(reached, step)
        alpha, noisier = schedule.alphas[index + 1], schedule.alphas[index]
        reached = ddim_step(before, prediction, alpha, noisier, schedule.prediction_type)
        for _ in range(refine):
            _, noise = clean_and_noise(reached, denoise(reached, step), noisier, schedule.prediction_type)
            reached = ddim_step(before, noise, alpha, noisier, "epsilon")
        passed[len(schedule) - index] = reached
        if on_step is not None:
            on_step(len(schedule) - index, len(schedule))
    check_finite(reached)
    return Trajectory(passed)


@torch.no_grad()
def ddim_sample(
    denoise: Denoiser,
    schedule: Schedule,
    latents: Tensor,
    *,
    noises: Tensor | None = None,
    take: TakeStep | None = None,
    after_step: AfterStep | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Noise, or inverted latents, to latents of a video: float32, (b f) c h w.

    Args:
        denoise: guided, as a rule.
        schedule: the steps to take, all of them.
        latents: (b f) c h w, at the noise of its first step.
        noises: of the Trajectory that the latents are from. For DDIM's steps.
        take: how a step is taken (few_steps.py). None: as DDIM does.
        after_step: see AfterStep.
        on_step: see OnStep.

    Raises:
        FloatingPointError: they are not finite.
    """
    latents = latents.float()
    for index, timestep in enumerate(schedule.timesteps):
        step = DiffusionStep(timestep, index, len(schedule))
        prediction = denoise(latents, step)
        alpha, cleaner = schedule.alphas[index], schedule.alphas[index + 1]
        if take is not None:
            latents = take(latents, prediction, step)
        else:
            noise = None if noises is None else noises[step.steps_left - 1].to(latents.device)
            latents = ddim_step(latents, prediction, alpha, cleaner, schedule.prediction_type, noise)
        if after_step is not None:
            latents = after_step(latents, step)
        if on_step is not None:
            on_step(index + 1, len(schedule))
    check_finite(latents)
    return latents


def ddim_step(
    latents: Tensor,
    prediction: Tensor,
    alpha: Tensor,
    target: Tensor,
    prediction_type: str,
    noise: Tensor | None = None,
) -> Tensor:
    """Latents from noise level `alpha` to `target`, both ways: sqrt(target) x_0 + sqrt(1 - target) predicted noise.

    (Song et al. 2021, equation 12. Alphas are alpha bar, a number each.) With `noise`, of variance 1, as much of the
    predicted noise is replaced by it as DDPM does, downwards only: sigma of equation 16 with eta 1.
    """
    clean, predicted = clean_and_noise(latents, prediction, alpha, prediction_type)
    if noise is None:
        return add_noise(clean, predicted, target)
    sigma = ddpm_sigma(alpha, target)
    return target**0.5 * clean + (1 - target - sigma**2) ** 0.5 * predicted + sigma * noise


def ddpm_sigma(alpha: Tensor, target: Tensor) -> Tensor:
    """How much fresh noise DDPM has in latents at noise level `target` that come from `alpha`. Both are alpha bar."""
    return ((1 - target) / (1 - alpha) * (1 - alpha / target)) ** 0.5


def clean_and_noise(latents: Tensor, prediction: Tensor, alpha: Tensor, prediction_type: str) -> tuple[Tensor, Tensor]:
    """What a prediction takes latents at noise level `alpha` for: sqrt(alpha) clean + sqrt(1 - alpha) noise.

    A v-prediction model gives v = sqrt(alpha) noise - sqrt(1 - alpha) clean (Salimans and Ho 2022, appendix D).
    """
    if prediction_type == "v_prediction":
        clean = alpha**0.5 * latents - (1 - alpha) ** 0.5 * prediction
        return clean, alpha**0.5 * prediction + (1 - alpha) ** 0.5 * latents
    return (latents - (1 - alpha) ** 0.5 * prediction) / alpha**0.5, prediction


def check_finite(latents: Tensor) -> None:
    """NaN would be a black video. Looked at once, since it stays once it is there."""
    if not latents.isfinite().all():
        raise FloatingPointError(
            "the latents are not finite: the UNet gives NaN or infinity in its precision. bf16 or fp32 may help"
        )
