"""tav against small recorded references of our own, which a clone has. golden_reference.py says how they were made."""

import json

import golden_reference as reference
import pytest
import torch
from diffusers import DDIMScheduler
from einops import rearrange
from tiny import SD1_SCHEDULE
from torch import Tensor

from tav.model.ddim import Schedule, ddim_invert, ddim_sample
from tav.model.denoiser import Network, guided, predict_noise, prompted
from tav.model.prompts import Prompts
from tav.model.tuning import TuneSettings, denoising_loss, start_run, trainable_parameters, update

RECORDED = json.loads(reference.FILE.read_text())
SD1 = DDIMScheduler(**SD1_SCHEDULE)


def folded(video: Tensor) -> Tensor:
    return rearrange(video, "b c f h w -> (b f) c h w")


def near(video: Tensor, name: str) -> bool:
    ours = reference.summary(rearrange(video, "(b f) c h w -> b c f h w", b=1))
    return ours == pytest.approx(RECORDED[name], rel=1e-4, abs=1e-4)


@pytest.fixture
def unet():
    return reference.seeded_unet()


def test_noise(unet):
    with torch.no_grad():
        noise = predict_noise(unet, folded(reference.latents()), torch.tensor(321), reference.prompt("source"))
    assert near(noise, "noise")


def test_inversion(unet):
    source = prompted(Network(unet), Prompts(reference.prompt("source")))
    trajectory = ddim_invert(source, Schedule.of(SD1, reference.STEPS), folded(reference.latents()))
    assert near(trajectory.at(reference.STEPS), "inverted")


def test_sampling(unet):
    target, empty = (Prompts(reference.prompt(name)) for name in ("target", "empty"))
    denoise = guided(Network(unet), target, empty, reference.GUIDANCE)
    start = folded(reference.seeded("start", 1, 4, 3, 8, 8))
    assert near(ddim_sample(denoise, Schedule.of(SD1, reference.STEPS), start), "sampled")


def test_tuning(unet):
    settings = TuneSettings(learning_rate=reference.RATE)
    run = start_run(trainable_parameters(unet, settings), settings, unet.device)
    before = {name: parameter.detach().clone() for name, parameter in run.parameters.items()}
    prompts, losses, norms = Prompts(reference.prompt("source")), [], []
    for i, timestep in enumerate(reference.TUNED_AT):
        noise = folded(reference.seeded(f"noise {i}", 1, 4, 3, 8, 8))
        latents = folded(reference.latents())
        loss = denoising_loss(unet, SD1, latents, noise, torch.tensor([timestep]), prompts)
        norms.append(update(run, i + 1, loss, settings))
        losses.append(loss.item())
    assert losses == pytest.approx(RECORDED["losses"], rel=1e-5)
    assert norms == pytest.approx(RECORDED["gradient_norms"], rel=1e-4)
    distance = [(run.parameters[name] - old).norm().item() for name, old in before.items()]
    assert distance == pytest.approx(RECORDED["moved"], rel=1e-3)


def test_the_record_is_what_the_plain_code_gives():
    found = reference.record()
    assert found.keys() == RECORDED.keys()
    for name, values in found.items():
        assert values == pytest.approx(RECORDED[name], rel=1e-4, abs=1e-5), name
