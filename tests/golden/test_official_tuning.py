"""Five tuning steps from recorded noise and timesteps against the official code's."""

import numpy as np
import pytest
import torch

from tav.model.inflation import inflate
from tav.model.pretrained import ddim_scheduler, load_pipeline
from tav.model.prompts import Prompts
from tav.model.tuned_weights import tuned_parameters
from tav.model.tuning import TuneSettings, denoising_loss, start_run, trainable_parameters, update

# float32 noise of a gradient, relative; no floor was recorded for tuning, so it is that of the network: about 3e-6
NOISE = 3e-6


@pytest.mark.parametrize(
    ("recording", "gradient_checkpointing"),
    [
        ("rand_nogradckpt", False),
        ("rand_nogradckpt", True),
        ("rand_gradckpt", False),
        ("init_nogradckpt", False),
        ("init_gradckpt", False),
        ("rand_nogradckpt_clip0.05", False),
    ],
)
def test_five_steps(golden, recording, gradient_checkpointing):
    recorded = golden.arrays(f"train_{recording}")
    settings = TuneSettings(
        official_checkpointing="_gradckpt" in recording,
        gradient_checkpointing=gradient_checkpointing,
        max_grad_norm=0.05 if "clip" in recording else 1.0,
    )
    pipe = load_pipeline(golden.checkpoint, components=("unet", "scheduler"))
    unet, scheduler = inflate(pipe.unet), ddim_scheduler(pipe.scheduler)
    golden.set_temporal(unet, recording[:4])
    tuned = tuned_parameters(unet)
    before = {name: parameter.detach().clone() for name, parameter in tuned.items()}
    run = start_run(trainable_parameters(unet, settings), settings, unet.device)

    names = [str(name) for name in recorded["trainable_names"]]
    assert set(names) == tuned.keys()
    assert {name for name, has in zip(names, recorded["has_grad"], strict=True) if has} == run.parameters.keys()
    assert len(run.parameters) == (70 if settings.official_checkpointing else 112)

    prompts = Prompts(torch.from_numpy(recorded["encoder_hidden_states"]))
    for step in range(5):
        latents, noise = (golden.folded(recorded[name][step]) for name in ("latents", "noise"))
        timestep = torch.from_numpy(recorded["timesteps"][step])
        loss = denoising_loss(unet, scheduler, latents, noise, timestep, prompts)
        if step == 0:
            check_first_gradients(golden, recording, loss, run, names, recorded)
        grad_norm = update(run, step + 1, loss, settings)
        assert loss.item() == pytest.approx(recorded["losses"][step], rel=3 * NOISE)
        assert grad_norm == pytest.approx(recorded["total_grad_norm_before_clip"][step], rel=3 * NOISE)
    check_after_five(golden, recording, tuned, before, names, recorded)


def check_first_gradients(golden, recording, loss, run, names, recorded):
    gradients = torch.autograd.grad(loss, list(run.parameters.values()), retain_graph=True)
    ours = dict(zip(run.parameters, gradients, strict=True))
    for name, norm in zip(names, recorded["grad1_norm"], strict=True):
        if name in ours:
            assert ours[name].norm().item() == pytest.approx(norm, rel=10 * NOISE, abs=1e-9), name
    if recording == "rand_nogradckpt":
        for name, theirs in golden.tensors("train_rand_nogradckpt_grads_step1").items():
            torch.testing.assert_close(ours[name], theirs, rtol=0, atol=10 * NOISE * theirs.norm().item(), msg=name)


def check_after_five(golden, recording, tuned, before, names, recorded):
    moved = [(tuned[name] - before[name]).norm().item() for name in names]
    np.testing.assert_allclose(moved, recorded["delta5_norm"], rtol=10 * NOISE, atol=1e-9)
    sums = [tuned[name].double().sum().item() for name in names]
    np.testing.assert_allclose(sums, recorded["after5_sum"], rtol=1e-6, atol=2e-5)
    if recording in {"rand_nogradckpt", "rand_gradckpt"}:
        # Adam divides by the gradient's size: where that is near epsilon, noise of a part in 1e6 of the largest
        # gradient is a few hundredths of a step
        for name, theirs in golden.tensors(f"train_{recording}_params_step5").items():
            difference = (tuned[name] - theirs).detach()
            assert difference.abs().max().item() <= 3e-6, name
            assert difference.norm() <= 1e-3 * (theirs - before[name]).norm() + 1e-9, name
