import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler

from tav.model.ddim import ddim_invert, ddim_sample, first_step, predict_noise, start_latents
from tav.model.inflation import inflate
from tav.model.latents import sample_latents
from tav.model.pretrained import ddim_scheduler, load_pipeline
from tav.model.prompts import encode_prompts


@pytest.fixture
def latents(moments):
    return sample_latents(moments, torch.Generator().manual_seed(0))


def rms(tensor):
    return tensor.square().mean().sqrt().item()


def round_trip_error(unet, scheduler, latents, prompt_embeds, steps, inversion_scheduler=None):
    """Half of the way: near pure noise a network of random weights is too rough to be followed back."""
    trajectory = ddim_invert(unet, inversion_scheduler or scheduler, latents, prompt_embeds, steps)
    settings = {"num_inference_steps": steps, "guidance_scale": 1, "start": steps // 2}
    back = ddim_sample(unet, scheduler, trajectory[-1 - steps // 2], prompt_embeds, **settings)
    return rms(back - latents) / rms(latents)


def test_round_trip(either_folder, latents, prompt_embeds):
    """Inverting and sampling with the same prompt leads back, the closer the more steps. Of both kinds of model."""
    pipe = load_pipeline(str(either_folder), components=("unet", "scheduler"))
    inflate(pipe.unet)
    few, many = (round_trip_error(pipe.unet, pipe.scheduler, latents, prompt_embeds, steps) for steps in (6, 24))
    assert many < few / 2
    if pipe.scheduler.config.prediction_type == "v_prediction":  # inverted as the official code would
        epsilon = DDIMScheduler.from_config(pipe.scheduler.config, prediction_type="epsilon")
        assert round_trip_error(pipe.unet, pipe.scheduler, latents, prompt_embeds, 24, epsilon) > 2 * many


def test_start_latents():
    inverted = torch.randn(5, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)

    def start(strength, from_noise):
        return start_latents(inverted, scheduler, strength=strength, from_noise=from_noise, seed=33)

    assert (start(1.0, False) == inverted[4]).all()
    assert (start(0.5, False) == inverted[2]).all()
    noise = start(1.0, True)
    assert noise.std().item() == pytest.approx(1, abs=0.1)
    noised = start(0.25, True)
    scheduler.set_timesteps(4)
    share = scheduler.alphas_cumprod[scheduler.timesteps[3]].sqrt()
    rest = (noised - share * inverted[0]) / (1 - share**2).sqrt()
    assert torch.allclose(rest, noise, atol=1e-4)


def test_strength_starts_on_the_way(pipe, latents, prompt_embeds):
    """Sampling from step 6 of 10 starts with the latents of the inversion at -1 - 6."""
    trajectory = ddim_invert(pipe.unet, pipe.scheduler, latents, prompt_embeds, 10)
    assert trajectory.shape == (11, *latents.shape)
    assert torch.equal(trajectory[0], latents)
    seen = []
    settings = {"num_inference_steps": 10, "guidance_scale": 1.0}
    back = ddim_sample(
        pipe.unet,
        pipe.scheduler,
        trajectory[-1 - 6],
        prompt_embeds,
        start=6,
        on_step=lambda *progress: seen.append(progress),
        **settings,
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    from_the_end = ddim_sample(pipe.unet, pipe.scheduler, trajectory[-1], prompt_embeds, **settings)
    assert rms(back - latents) < rms(from_the_end - latents)
    wrong_level = ddim_sample(pipe.unet, pipe.scheduler, trajectory[-1], prompt_embeds, start=6, **settings)
    assert rms(back - latents) < rms(wrong_level - latents) / 2
    with pytest.raises(ValueError, match="start is 10; expected 0 to 9"):
        ddim_sample(pipe.unet, pipe.scheduler, latents, prompt_embeds, start=10, **settings)


def test_guidance(pipe, latents, prompt_embeds):
    (empty,) = encode_prompts(pipe, [""])

    def sample(scale, **more):
        arguments = (pipe.unet, pipe.scheduler, latents, prompt_embeds, empty)
        return ddim_sample(*arguments, num_inference_steps=3, guidance_scale=scale, **more)

    torch.testing.assert_close(sample(4.0), sample(4.0, split_guidance=True), rtol=0, atol=1e-4)
    none = ddim_sample(pipe.unet, pipe.scheduler, latents, prompt_embeds, num_inference_steps=3, guidance_scale=1)
    assert torch.equal(none, sample(1))
    assert rms(sample(4.0) - none) > rms(sample(2.0) - none) > 0
    with pytest.raises(ValueError, match=r"guidance_scale is 4.0; expected negative_prompts"):
        ddim_sample(pipe.unet, pipe.scheduler, latents, prompt_embeds, num_inference_steps=3, guidance_scale=4.0)


def test_deterministic(pipe, latents, prompt_embeds):
    def sample(eta=0.0, seed=0):
        torch.rand(seed + 1)  # the global random state is of no account
        return ddim_sample(
            pipe.unet,
            pipe.scheduler,
            latents,
            prompt_embeds,
            num_inference_steps=3,
            guidance_scale=1,
            eta=eta,
            generator=torch.Generator().manual_seed(seed),
        )

    assert torch.equal(sample(seed=1), sample(seed=2))
    assert torch.equal(sample(eta=1.0, seed=1), sample(eta=1.0, seed=1))
    assert not torch.equal(sample(eta=1.0, seed=1), sample(eta=1.0, seed=2))


def test_an_overflow_is_told(pipe, latents, prompt_embeds):
    """In fp16, what is no trouble in float32."""
    unet = pipe.unet
    with torch.no_grad():
        unet.conv_out.bias.fill_(6e4)  # fp16 ends at 65504
        unet.conv_out.weight.mul_(1e5)

    def invert():
        return ddim_invert(unet, pipe.scheduler, latents, prompt_embeds, 2)

    def sample():
        return ddim_sample(unet, pipe.scheduler, latents, prompt_embeds, num_inference_steps=2, guidance_scale=1)

    for run in (invert, sample):
        assert run().isfinite().all()
    unet.half()
    for run in (invert, sample):
        with pytest.raises(FloatingPointError, match="the UNet in float16 gives NaN or infinity"):
            run()


def test_each_video_has_its_prompt_and_timestep(pipe, latents, prompt_embeds):
    prompts = torch.cat([prompt_embeds.embeds, prompt_embeds.embeds.flip(1)])
    timesteps = torch.tensor([10, 900])
    with torch.no_grad():
        both = predict_noise(pipe.unet, torch.cat([latents, latents]), timesteps, prompts)
        for i in range(2):
            alone = predict_noise(pipe.unet, latents, timesteps[i], prompts[i : i + 1])
            torch.testing.assert_close(both.chunk(2)[i], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [DDIMScheduler, PNDMScheduler, EulerDiscreteScheduler])
def test_any_schedulers_config_makes_a_ddim_scheduler_for_latents(kind):
    """Whatever class a model's folder names, with Stable Diffusion's noise levels and no clipping to [-1, 1]."""
    levels = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "epsilon"}
    scheduler = ddim_scheduler(kind(**levels, steps_offset=1))
    assert isinstance(scheduler, DDIMScheduler)
    assert not scheduler.config.clip_sample
    assert scheduler.config.timestep_spacing == "leading"
    assert scheduler.config.steps_offset == 1
    assert scheduler.alphas_cumprod[-1].item() == pytest.approx(0.0047, abs=1e-4)


@pytest.mark.parametrize(
    ("strength", "steps", "first"), [(1.0, 50, 0), (0.5, 50, 25), (0.58, 50, 21), (0.01, 20, 19), (1.0, 1, 0)]
)
def test_first_step(strength, steps, first):
    assert first_step(strength, steps) == first
