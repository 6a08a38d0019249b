"""Edit-friendly inversion (Huberman-Spiegelglas et al. 2024, arXiv 2304.06140): noise that DDPM comes back with."""

import torch
from torch import Tensor

from tav.model.ddim import OnStep, Room, Schedule, Trajectory, add_noise, check_finite, ddim_step, ddpm_sigma
from tav.model.denoiser import Denoiser, DiffusionStep


@torch.no_grad()
def edit_friendly_invert(
    denoise: Denoiser,
    schedule: Schedule,
    latents: Tensor,
    *,
    seed: int,
    room: Room = torch.empty,
    on_step: OnStep | None = None,
) -> Trajectory:
    """Latents at each noise level, each with a noise of its own, and what DDPM must add to pass from one to the next.

    Sampled by the same prompt with these noises, the video comes back as it was, whatever the network predicts; the
    noises carry its picture, so an edit by another prompt keeps more of it than DDIM inversion's. The last step adds
    none, as in the authors' code.

    Args:
        denoise: without guidance.
        schedule: of this and of the sampling that follows.
        latents: (b f) c h w, scaled.
        seed: of the noises that the latents are mixed with.
        room: where the trajectory is kept.
        on_step: see OnStep.

    Raises:
        FloatingPointError: they are not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    clean = wanted = latents.float()
    passed, noises = room(len(schedule) + 1, *clean.shape), room(len(schedule), *clean.shape)
    passed[0] = clean
    for index in reversed(range(len(schedule))):
        fresh = torch.randn(latents.shape, generator=generator).to(latents.device)
        alpha, cleaner = schedule.alphas[index], schedule.alphas[index + 1]
        noisy, missing = add_noise(clean, fresh, alpha), torch.zeros_like(fresh)
        if index < len(schedule) - 1:
            prediction = denoise(noisy, DiffusionStep(schedule.timesteps[index], index, len(schedule)))
            reached = ddim_step(noisy, prediction, alpha, cleaner, schedule.prediction_type, missing)
            missing = (wanted - reached) / ddpm_sigma(alpha, cleaner)
        done = len(schedule) - index
        passed[done], noises[done - 1], wanted = noisy, missing, noisy
        if on_step is not None:
            on_step(done, len(schedule))
    check_finite(noises[-1])
    return Trajectory(passed, noises)
