"""Plug-and-Play against two runs: one notes what the source has, the other is given it."""

from functools import partial

import pytest
import torch

from tav.model.ddim import Schedule, Trajectory
from tav.model.denoiser import DiffusionStep, Network, guided
from tav.model.plug_and_play import plug_and_play
from tav.model.pretrained import load_pipeline
from tav.model.prompts import encode_prompts, join
from tav.model.source_branch import SourceBranch


def named(unet, attention, features):
    """The layers, by hand: the tiny UNet has two up blocks of two layers, each with attention."""
    names = []
    if attention:
        layers = [(0, 1), (1, 0), (1, 1)]
        names = [f"up_blocks.{b}.attentions.{i}.transformer_blocks.0.attn1.to_{x}" for b, i in layers for x in "qk"]
    if features:
        names.append("up_blocks.1.resnets.1.conv2")
    return [unet.get_submodule(name) for name in names]


def in_two_runs(unet, run_source, run_edit, layers):
    noted = {}
    handles = [layer.register_forward_hook(lambda m, _, out: noted.update({m: out})) for layer in layers]
    run_source()
    for handle in handles:
        handle.remove()
    handles = [layer.register_forward_hook(lambda m, _, out: noted[m]) for layer in layers]
    made = run_edit()
    for handle in handles:
        handle.remove()
    return made


@torch.no_grad()
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("inflated", [True, False], ids=["video", "each frame alone"])
def test_equals_two_runs(pipe, sd_folder, moments, inflated, split):
    if not inflated:
        pipe = load_pipeline(str(sd_folder))
    latents, other = torch.randn(2, *moments.mean.shape, generator=torch.Generator().manual_seed(0))
    alone = 1 if inflated else len(latents)
    prompts = [join([p] * alone) for p in encode_prompts(pipe, ["a cat", "a dog", ""])]
    source, target, negative = prompts
    network, schedule = Network(pipe.unet), Schedule.of(pipe.scheduler, 10)
    branch = SourceBranch(network, Trajectory(other.expand(11, *other.shape)), *prompts, 3.0, split=split)
    for index, attention, features in ((4, True, True), (7, False, True), (8, False, False)):
        step = DiffusionStep(schedule.timesteps[index], index, 10)
        with plug_and_play(pipe.unet, branch):
            got = branch(latents, step)
        run, layers = partial(network, step=step), named(pipe.unet, attention, features)
        positive, unguided = (
            in_two_runs(
                pipe.unet,
                lambda: run(other, prompts=source),  # noqa: B023 - run at once
                lambda p=p: run(latents, prompts=p),  # noqa: B023
                layers,
            )
            for p in (target, negative)
        )
        torch.testing.assert_close(got, unguided + 3.0 * (positive - unguided), rtol=0, atol=1e-4)
        plain = guided(network, target, negative, 3.0)(latents, step)
        assert ((got - plain).abs().max() > 1e-3) == features
    assert not any(module._forward_hooks for module in pipe.unet.modules())
