"""Edits in fewer steps than the inversion's, against diffusers' own schedulers."""

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler, TCDScheduler

from tav.model.ddim import Schedule, Trajectory, ddim_invert, ddim_sample
from tav.model.denoiser import Network, predict_noise, prompted
from tav.model.few_steps import fewer, lcm, spread, tcd
from tav.model.inflation import inflate
from tav.model.latents import sample_latents
from tav.model.pretrained import load_pipeline

SEED, LEVELS, STEPS = 33, 50, 4


@pytest.fixture
def latents(moments):
    return sample_latents(moments, torch.Generator().manual_seed(0))


@pytest.fixture
def network(either_folder):
    """Of both kinds of model: the inflated UNet, and the scheduler with its config."""
    pipe = load_pipeline(str(either_folder), components=("unet", "scheduler"))
    return inflate(pipe.unet), pipe.scheduler


def in_few(scheduler, latents):
    """The schedule of 4 of 50 steps. The trajectory, of which only the shape counts here, is the latents again."""
    inverted = Trajectory(latents.expand(LEVELS + 1, *latents.shape))
    return fewer(Schedule.of(scheduler, LEVELS), inverted, STEPS)[0]


def by_diffusers(scheduler, unet, latents, prompt_embeds, timesteps, **options):
    scheduler.set_timesteps(timesteps=timesteps.tolist())
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            prediction = predict_noise(unet, latents, timestep, *prompt_embeds)
            latents = scheduler.step(prediction, timestep, latents, generator=generator, **options).prev_sample
    return latents


def test_lcm_is_diffusers_own(network, latents, prompt_embeds):
    unet, scheduler = network
    schedule = in_few(scheduler, latents)
    theirs = LCMScheduler.from_config(scheduler.config, clip_sample=False)
    expected = by_diffusers(theirs, unet, latents, prompt_embeds, schedule.timesteps)
    ours = ddim_sample(prompted(Network(unet), prompt_embeds), schedule, latents, take=lcm(schedule, SEED))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    again = ddim_sample(prompted(Network(unet), prompt_embeds), schedule, latents, take=lcm(schedule, SEED + 1))
    assert not torch.allclose(ours, again, atol=0.1)  # its noise is the seed's


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_tcd_is_diffusers_own(network, latents, prompt_embeds, eta):
    unet, scheduler = network
    schedule = in_few(scheduler, latents)
    expected = by_diffusers(
        TCDScheduler.from_config(scheduler.config), unet, latents, prompt_embeds, schedule.timesteps, eta=eta
    )
    take = tcd(schedule, scheduler.alphas_cumprod, eta, SEED)
    ours = ddim_sample(prompted(Network(unet), prompt_embeds), schedule, latents, take=take)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_fewer_steps_of_ddim_are_diffusers_own(network, latents, prompt_embeds):
    """Of 20 levels 5 are taken, 200 apart, as DDIM takes them that far apart."""
    unet, scheduler = network
    denoise, whole = prompted(Network(unet), prompt_embeds), Schedule.of(scheduler, 20)
    schedule, _ = fewer(whole, Trajectory(latents.expand(21, *latents.shape)), 5)
    theirs, sampled = DDIMScheduler.from_config(scheduler.config), latents
    theirs.set_timesteps(5)  # for the distance of its steps; it starts at the inversion's first level all the same
    with torch.no_grad():
        for timestep in whole.timesteps[::4]:
            prediction = predict_noise(unet, sampled, timestep, *prompt_embeds)
            sampled = theirs.step(prediction, timestep, sampled).prev_sample
    assert torch.equal(ddim_sample(denoise, schedule, latents), sampled)


def test_levels_are_chosen_as_diffusers_lcm_chooses_them():
    for steps in (1, 2, 3, 4, 7, 8, 50):
        theirs = LCMScheduler()
        theirs.set_timesteps(steps, original_inference_steps=LEVELS)
        own = torch.arange(1, LEVELS + 1).flip(0) * 20 - 1
        assert own[spread(LEVELS, steps)].tolist() == theirs.timesteps.tolist()
    for steps in (0, 51):
        with pytest.raises(ValueError, match="expected 1 to 50"):
            spread(LEVELS, steps)


def test_what_goes_with_the_inversion_meets_the_source_at_its_own_noise(pipe, latents, prompt_embeds):
    denoise, schedule = prompted(Network(pipe.unet), prompt_embeds), Schedule.of(pipe.scheduler, 10)
    inverted = ddim_invert(denoise, schedule, latents)
    late = schedule.from_step(2)
    few, thin = fewer(late, inverted, 3)
    assert few.timesteps.tolist() == late.timesteps[[0, 2, 5]].tolist()
    for index, left in enumerate((8, 6, 3)):  # of the inversion's steps
        assert torch.equal(thin.at(len(few) - index), inverted.at(left))
    assert torch.equal(thin.at(0), latents)
    all_of_them, same = fewer(late, inverted, 8)
    assert torch.equal(all_of_them.alphas, late.alphas)
    assert torch.equal(same.latents, inverted.latents[:9])
    with pytest.raises(ValueError, match="noise maps for each of its steps"):
        fewer(late, Trajectory(inverted.latents, inverted.latents[1:]), 3)
