import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler

from tav.model.ddim import Schedule, ddim_invert, ddim_sample, first_step, start_from_noise
from tav.model.denoiser import Network, guided, predict_noise, prompted
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
    denoise, schedule = prompted(Network(unet), prompt_embeds), Schedule.of(scheduler, steps)
    trajectory = ddim_invert(denoise, Schedule.of(inversion_scheduler or scheduler, steps), latents)
    back = ddim_sample(denoise, schedule.from_step(steps // 2), trajectory.at(steps - steps // 2))
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


def test_steps_are_those_of_diffusers_own_schedulers(either_folder, latents, prompt_embeds):
    """Bit for bit, both ways, of both kinds of model."""
    pipe = load_pipeline(str(either_folder), components=("unet", "scheduler"))
    denoise, schedule = prompted(Network(inflate(pipe.unet)), prompt_embeds), Schedule.of(pipe.scheduler, 6)
    forward = ddim_scheduler(pipe.scheduler)
    inverse = DDIMInverseScheduler.from_config(forward.config)
    sampled = inverted = latents
    with torch.no_grad():
        for scheduler in (forward, inverse):
            scheduler.set_timesteps(6)
        for timestep in forward.timesteps:
            prediction = predict_noise(pipe.unet, sampled, timestep, *prompt_embeds)
            sampled = forward.step(prediction, timestep, sampled).prev_sample
        for timestep in inverse.timesteps:
            prediction = predict_noise(pipe.unet, inverted, timestep, *prompt_embeds)
            inverted = inverse.step(prediction, timestep, inverted).prev_sample
    assert torch.equal(ddim_sample(denoise, schedule, latents), sampled)
    assert torch.equal(ddim_invert(denoise, schedule, latents).at(6), inverted)


def test_start_from_noise():
    clean = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
    schedule = Schedule.of(scheduler, 4)
    noise = start_from_noise(clean, schedule, pure=True, seed=33)
    assert noise.std().item() == pytest.approx(1, abs=0.1)
    late = schedule.from_step(3)
    noised = start_from_noise(clean, late, pure=False, seed=33)
    assert torch.equal(noised, scheduler.add_noise(clean, noise, late.timesteps[:1]))


def test_strength_starts_on_the_way(pipe, latents, prompt_embeds):
    """Sampling the last 4 of 10 steps starts with the latents that are 4 steps from the clean ones."""
    denoise, schedule = prompted(Network(pipe.unet), prompt_embeds), Schedule.of(pipe.scheduler, 10)
    trajectory = ddim_invert(denoise, schedule, latents)
    assert trajectory.steps == 10
    assert torch.equal(trajectory.at(0), latents)
    seen, late = [], schedule.from_step(6)
    back = ddim_sample(denoise, late, trajectory.at(4), on_step=lambda *progress: seen.append(progress))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    from_the_end = ddim_sample(denoise, schedule, trajectory.at(10))
    assert rms(back - latents) < rms(from_the_end - latents)
    wrong_level = ddim_sample(denoise, late, trajectory.at(10))
    assert rms(back - latents) < rms(wrong_level - latents) / 2
    with pytest.raises(ValueError, match="start is 10; expected 0 to 9"):
        schedule.from_step(10)
    with pytest.raises(ValueError, match="11 steps from clean latents; the inversion took 10"):
        trajectory.at(11)


def test_guidance(pipe, latents, prompt_embeds):
    (empty,) = encode_prompts(pipe, [""])
    network, schedule = Network(pipe.unet), Schedule.of(pipe.scheduler, 3)

    def sample(scale, **more):
        return ddim_sample(guided(network, prompt_embeds, empty, scale, **more), schedule, latents)

    torch.testing.assert_close(sample(4.0), sample(4.0, split=True), rtol=0, atol=1e-4)
    none = ddim_sample(prompted(network, prompt_embeds), schedule, latents)
    assert torch.equal(none, sample(1))
    assert rms(sample(4.0) - none) > rms(sample(2.0) - none) > 0


def test_what_is_put_in_after_a_step_is_gone_on_with(pipe, latents, prompt_embeds):
    """A step knows how many are left, so that the source's latents are found at the same noise."""
    denoise, schedule = prompted(Network(pipe.unet), prompt_embeds), Schedule.of(pipe.scheduler, 5)
    trajectory = ddim_invert(denoise, schedule, latents)
    seen = []

    def source_instead(_, step):
        seen.append((int(step.timestep), step.index, step.count))
        return trajectory.at(step.steps_left - 1)

    back = ddim_sample(denoise, schedule.from_step(2), torch.randn_like(latents), after_step=source_instead)
    assert torch.equal(back, latents)
    assert seen == [(int(timestep), i, 3) for i, timestep in enumerate(schedule.timesteps[2:])]


def test_an_attachment_gives_the_unet_more_to_go_by(pipe, latents, prompt_embeds):
    """As a ControlNet does: residuals of the middle block, for the batch that the UNet sees."""
    (empty,) = encode_prompts(pipe, [""])
    schedule, batches = Schedule.of(pipe.scheduler, 2), []

    class Shift:
        def __init__(self, by):
            self.by = by

        def unet_kwargs(self, latents, step, prompts):
            batches.append((len(latents), len(prompts.embeds), step.index))
            down = [torch.zeros(1)] * 4  # a residual of each skip connection
            return {
                "mid_block_additional_residual": torch.tensor(self.by),
                "down_block_additional_residuals": down,
            }

    def sample(*attachments):
        network = Network(pipe.unet, attachments)
        return ddim_sample(guided(network, prompt_embeds, empty, 2.0), schedule, latents)

    assert torch.equal(sample(Shift(0.0)), sample())
    assert rms(sample(Shift(1.0)) - sample()) > 0
    assert batches[:2] == [(2 * len(latents), 2, 0), (2 * len(latents), 2, 1)]


def test_an_overflow_is_told(pipe, latents, prompt_embeds):
    """In fp16, what is no trouble in float32."""
    unet = pipe.unet
    with torch.no_grad():
        unet.conv_out.bias.fill_(6e4)  # fp16 ends at 65504
        unet.conv_out.weight.mul_(1e5)

    denoise, schedule = prompted(Network(unet), prompt_embeds), Schedule.of(pipe.scheduler, 2)

    def invert():
        return ddim_invert(denoise, schedule, latents).at(2)

    def sample():
        return ddim_sample(denoise, schedule, latents)

    for run in (invert, sample):
        assert run().isfinite().all()
    unet.half()
    for run in (invert, sample):
        with pytest.raises(FloatingPointError, match="the UNet gives NaN or infinity"):
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
