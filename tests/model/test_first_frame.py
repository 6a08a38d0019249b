"""An edited first frame stays what it is, and the other frames follow it."""

import pytest
import torch

from tav.from_params.sampling import sample_edit
from tav.model.ddim import Schedule, ddim_invert
from tav.model.denoiser import Network, prompted
from tav.model.first_frame import first_frame_path
from tav.model.prompts import encode_prompts
from tav.params import Edit

STEPS = 4


@pytest.fixture
def parts(pipe, moments):
    """A tiny pipeline, a video's trajectory, the target and the negative prompt."""
    target, negative, caption = encode_prompts(pipe, ["a dog running", "", "a cat"])
    schedule = Schedule.of(pipe.scheduler, STEPS)
    inverted = ddim_invert(prompted(Network(pipe.unet), caption), schedule, moments.mean)
    return pipe, inverted, target, negative


def other(moments, seed=1):
    return torch.randn(1, *moments.mean.shape[1:], generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("settings", [{}, {"strength": 0.5}, {"start_from": "noise"}])
def test_it_stays_and_the_others_follow(parts, moments, settings):
    edit = Edit(guidance_scale=3.0, **settings)
    without = sample_edit(parts[0], edit, *parts[1:])
    held = sample_edit(parts[0], edit, *parts[1:], first_frame=other(moments))
    assert torch.equal(held[:1], other(moments))
    assert (held[1:] - without[1:]).abs().mean() > 1e-4
    again = sample_edit(parts[0], edit, *parts[1:], first_frame=other(moments, seed=2))
    assert (again[1:] - held[1:]).abs().mean() > 1e-4
    assert torch.equal(sample_edit(parts[0], edit, *parts[1:]), without)


def test_frame_0_is_the_only_one_that_is_put_back(parts, moments):
    """At every step, the network sees the picture's own latents of that noise in frame 0."""
    pipe, inverted, target, negative = parts
    seen = []
    hook = pipe.unet.register_forward_pre_hook(lambda unet, args: seen.append(args[0].clone()))
    sample_edit(pipe, Edit(guidance_scale=1.0), inverted, target, negative, first_frame=other(moments))
    hook.remove()
    path = first_frame_path(Network(pipe.unet), Schedule.of(pipe.scheduler, STEPS), other(moments), target)
    sampling = seen[STEPS:]  # what comes before is the picture's inversion
    assert len(sampling) == STEPS
    for left, latents in zip(range(STEPS, 0, -1), sampling, strict=True):
        torch.testing.assert_close(latents[:1], path.at(left), rtol=0, atol=1e-5)
