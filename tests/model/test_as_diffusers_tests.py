"""What diffusers asks of its own DDIM and of its own UNet, asked of ours.

The sums are those of huggingface/diffusers, tests/schedulers/test_scheduler_ddim.py and
test_scheduler_ddim_inverse.py (their tolerances, too); the properties those of tests/models/unets and testing_utils.
"""

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from torch.nn.attention import SDPBackend, sdpa_kernel

from tav.model.ddim import Schedule, add_noise, ddim_invert, ddim_sample
from tav.model.denoiser import predict_noise
from tav.model.inflation import inflate
from tav.model.pretrained import load_pipeline

CONFIG = {"num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
V = {"prediction_type": "v_prediction"}
ALPHA_ONE, ALPHA_OWN = ({"set_alpha_to_one": one, "beta_start": 0.01} for one in (True, False))
STEPS = 10


def dummy_sample() -> torch.Tensor:
    """test_schedulers.py, dummy_sample_deter: 4 3 8 8."""
    return (torch.arange(768).reshape(3, 8, 8, 4) / 768).permute(3, 0, 1, 2)


def dummy_noise() -> torch.Tensor:
    """dummy_noise_deter."""
    return (torch.arange(768).flip(-1).reshape(3, 8, 8, 4) / 768).permute(3, 0, 1, 2)


def dummy_model(latents, step):
    """dummy_model, as a denoiser."""
    return latents * step.timestep / (step.timestep + 1)


def held(latents, total, mean):
    assert latents.abs().sum().item() == pytest.approx(total, abs=1e-2)
    assert latents.abs().mean().item() == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize(
    ("more", "total", "mean"),
    [({}, 172.0067, 0.223967), (V, 52.5302, 0.0684), (ALPHA_ONE, 149.8295, 0.1951), (ALPHA_OWN, 149.0784, 0.1941)],
)
def test_sampling_loop(more, total, mean):
    held(ddim_sample(dummy_model, Schedule.of(DDIMScheduler(**CONFIG | more), STEPS), dummy_sample()), total, mean)


def test_sampling_loop_from_a_noised_sample():
    """test_full_loop_with_noise: the last two of ten steps."""
    late = Schedule.of(DDIMScheduler(**CONFIG), STEPS).from_step(8)
    noised = add_noise(dummy_sample(), dummy_noise(), late.alphas[0])
    held(ddim_sample(dummy_model, late, noised), 354.5418, 0.4616)


@pytest.mark.parametrize(("more", "total", "mean"), [({}, 671.6816, 0.8746), (ALPHA_ONE, 539.9622, 0.7031)])
def test_inverse_loop(more, total, mean):
    schedule = Schedule.of(DDIMScheduler(**CONFIG | more), STEPS)
    held(ddim_invert(dummy_model, schedule, dummy_sample()).at(STEPS), total, mean)


@pytest.mark.parametrize(("more", "published"), [(V, 1394.2185), (ALPHA_OWN, 542.6722)])
def test_inverse_loops_that_diffusers_clips(more, published):
    """These two published sums are of samples cut to [-1, 1], which is for pixels: diffusers' own loop without it."""

    def loop(clip: bool) -> torch.Tensor:
        inverse, latents = DDIMInverseScheduler(**CONFIG | more, clip_sample=clip), dummy_sample()
        inverse.set_timesteps(STEPS)
        for t in inverse.timesteps:
            latents = inverse.step(latents * t / (t + 1), t, latents).prev_sample
        return latents

    held(loop(clip=True), published, published / 768)
    unclipped = loop(clip=False)
    schedule = Schedule.of(DDIMScheduler(**CONFIG | more), STEPS)
    held(
        ddim_invert(dummy_model, schedule, dummy_sample()).at(STEPS),
        unclipped.abs().sum().item(),
        unclipped.abs().mean().item(),
    )


@pytest.fixture
def unet(sd_folder):
    """Inflated, with temporal attention that does something."""
    unet = inflate(load_pipeline(str(sd_folder), components=("unet",)).unet)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in unet.named_parameters():
        if "attn_temp.to_out" in name:
            parameter.data.normal_(std=0.1, generator=generator)
    return unet


@pytest.fixture
def forward(moments, prompt_embeds):
    return lambda unet: predict_noise(unet, moments.mean, torch.tensor(501), *prompt_embeds)


@torch.no_grad()
def test_determinism(unet, forward):
    assert torch.equal(forward(unet), forward(unet))


@torch.no_grad()
def test_saved_and_loaded(unet, forward, sd_folder):
    """The state by diffusers' own names, into a fresh UNet that is inflated with another seed."""
    other = inflate(load_pipeline(str(sd_folder), components=("unet",)).unet, seed=1)
    assert not torch.equal(forward(other), forward(unet))
    other.load_state_dict(unet.state_dict())
    assert torch.equal(forward(other), forward(unet))


def test_checkpointing_changes_no_output_and_no_gradient(unet, forward):
    unet.train()
    found = []
    for enable in (unet.disable_gradient_checkpointing, unet.enable_gradient_checkpointing):
        enable()
        unet.zero_grad()
        output = forward(unet)
        output.square().mean().backward()
        found.append([output.detach(), *(p.grad.clone() for p in unet.parameters() if p.grad is not None)])
    assert len(found[0]) == len(found[1]) > 100
    for plain, checkpointed in zip(*found, strict=True):
        torch.testing.assert_close(checkpointed, plain, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_lora(unet, forward):
    """Starts as nothing, changes the output, can be switched off, and fuses into the weights."""
    from peft import LoraConfig

    plain = forward(unet)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    torch.testing.assert_close(forward(unet), plain)
    generator = torch.Generator().manual_seed(0)
    grown = [name for name, _ in unet.named_parameters() if "lora_B" in name]
    assert any("attn_temp" in name for name in grown)
    for name in grown:
        unet.get_parameter(name).normal_(std=0.3, generator=generator)
    adapted = forward(unet)
    assert (adapted - plain).abs().max() > 1e-3
    unet.disable_adapters()
    torch.testing.assert_close(forward(unet), plain)
    unet.enable_adapters()
    unet.fuse_lora()
    unet.unload_lora()
    torch.testing.assert_close(forward(unet), adapted, atol=1e-4, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("backend", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION])
def test_attention_backends_agree(unet, forward, backend):
    plain = forward(unet)
    with sdpa_kernel(backend):
        torch.testing.assert_close(forward(unet), plain, atol=1e-4, rtol=1e-3)
