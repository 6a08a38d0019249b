"""Inversions that sampling comes back from, held against diffusers' own scheduler."""

import pytest
import torch

from tav.model.ddim import Schedule, ddim_invert, ddim_sample
from tav.model.denoiser import Network, predict_noise, prompted
from tav.model.edit_friendly import edit_friendly_invert
from tav.model.inflation import inflate
from tav.model.latents import sample_latents
from tav.model.pretrained import ddim_scheduler, load_pipeline

STEPS = 6


@pytest.fixture
def latents(moments):
    return sample_latents(moments, torch.Generator().manual_seed(0))


@pytest.fixture
def pipe(either_folder):
    pipe = load_pipeline(str(either_folder), components=("unet", "scheduler"))
    inflate(pipe.unet)
    return pipe


def naive_step(pipe, prompts, noisy, index, **more):
    """Of sampling, by diffusers' own scheduler."""
    scheduler = ddim_scheduler(pipe.scheduler)
    scheduler.set_timesteps(STEPS)
    timestep = scheduler.timesteps[index]
    with torch.no_grad():
        return scheduler.step(predict_noise(pipe.unet, noisy, timestep, *prompts), timestep, noisy, **more).prev_sample


def largest(a, b):
    return (a - b).abs().max().item()


def test_a_refined_inversion_is_what_sampling_leads_back_from(pipe, latents, prompt_embeds):
    """Each step of it, of both kinds of model. The last two: a network of random weights is rough at more noise."""
    denoise, schedule = prompted(Network(pipe.unet), prompt_embeds), Schedule.of(pipe.scheduler, STEPS)
    plain, once, often = (ddim_invert(denoise, schedule.from_step(4), latents, refine=refine) for refine in (0, 1, 6))

    def step_error(trajectory, left):
        return largest(naive_step(pipe, prompt_embeds, trajectory.at(left), STEPS - left), trajectory.at(left - 1))

    for left in (1, 2):
        assert step_error(often, left) < step_error(plain, left) / 8
        assert step_error(often, left) < step_error(once, left) < step_error(plain, left)
    often_back, plain_back = (ddim_sample(denoise, schedule.from_step(4), tried.at(2)) for tried in (often, plain))
    assert largest(often_back, latents) < largest(plain_back, latents) / 5


def test_edit_friendly_noise_is_what_ddpm_has_to_add(pipe, latents, prompt_embeds):
    denoise, schedule = prompted(Network(pipe.unet), prompt_embeds), Schedule.of(pipe.scheduler, STEPS)
    seen = []
    inverted = edit_friendly_invert(denoise, schedule, latents, seed=1, on_step=lambda *step: seen.append(step))
    assert seen == [(step, STEPS) for step in range(1, STEPS + 1)]
    assert torch.equal(inverted.at(0), latents)
    assert not inverted.noises[0].any()
    for left in range(2, STEPS + 1):
        noise = inverted.noises[left - 1]
        back = naive_step(pipe, prompt_embeds, inverted.at(left), STEPS - left, eta=1.0, variance_noise=noise)
        torch.testing.assert_close(back, inverted.at(left - 1), rtol=1e-4, atol=1e-4)


def test_edit_friendly_latents_have_noise_of_their_own_and_come_back(pipe, latents, prompt_embeds):
    """From any strength, but for the last step, which has no noise of its own."""
    denoise, schedule = prompted(Network(pipe.unet), prompt_embeds), Schedule.of(pipe.scheduler, STEPS)
    inverted, again, other = (edit_friendly_invert(denoise, schedule, latents, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(inverted.latents, again.latents)
    assert not torch.equal(inverted.latents, other.latents)
    fresh = [
        (inverted.at(left) - alpha**0.5 * latents) / (1 - alpha) ** 0.5
        for left, alpha in enumerate(schedule.alphas[:-1].flip(0), 1)
    ]
    overlap = (fresh[1] * fresh[2]).mean() / (fresh[1].std() * fresh[2].std())
    assert abs(overlap) < 0.1
    last = naive_step(pipe, prompt_embeds, inverted.at(1), STEPS - 1, eta=1.0, variance_noise=inverted.noises[0])
    for left in (2, STEPS):
        late = schedule.from_step(STEPS - left)
        back = ddim_sample(denoise, late, inverted.at(left), noises=inverted.noises)
        torch.testing.assert_close(back, last, rtol=1e-3, atol=1e-3)
    assert largest(ddim_sample(denoise, schedule, inverted.at(STEPS)), last) > 0.1  # DDIM does not
