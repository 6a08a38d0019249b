"""DPM-Solver++ of order 1, as benchmarks/samplers.py sets it up, is the project's DDIM; of order 2 it is not."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from tiny import tiny_stable_diffusion

from tav.model.ddim import Schedule, ddim_sample
from tav.model.denoiser import Network, guided
from tav.model.inflation import inflate
from tav.model.pretrained import load_pipeline
from tav.model.prompts import Prompts

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def samplers():
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("samplers", BENCHMARKS / "samplers.py")
    module = sys.modules["samplers"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))
    del sys.modules["samplers"]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("guidance_scale", [1, 3])
def test_order_1_is_ddim(samplers, tmp_path, prediction_type, guidance_scale):
    pipe = load_pipeline(str(tiny_stable_diffusion(tmp_path, prediction_type=prediction_type)))
    inflate(pipe.unet)
    torch.manual_seed(0)
    latents, prompts, negative = torch.randn(3, 4, 8, 8), Prompts(torch.randn(1, 7, 32)), Prompts(torch.randn(1, 7, 32))
    timesteps = samplers.timesteps_of(pipe.scheduler, 5)
    denoise = guided(Network(pipe.unet), prompts, negative, guidance_scale)
    ddim = ddim_sample(denoise, Schedule.of(pipe.scheduler, 5), latents)
    one, two = (
        samplers.sample(
            pipe.unet, samplers.solver_of(pipe.scheduler, timesteps, order), latents, prompts, negative, guidance_scale
        )
        for order in (1, 2)
    )
    torch.testing.assert_close(one, ddim, rtol=1e-3, atol=1e-4)
    assert (two - ddim).abs().max() > 1e-2


def test_timesteps_are_the_inversions(samplers):
    scheduler = DDIMScheduler(steps_offset=1, clip_sample=False, set_alpha_to_one=False)
    levels = samplers.timesteps_of(scheduler, 20)
    assert (levels[0], levels[-1], len(levels)) == (951, 1, 20)
    assert samplers.Case(1.0, 4, 2).timesteps(levels) == [951, 751, 551, 351, 151]
    assert samplers.Case(0.5, 4, 2).timesteps(levels) == [451, 251, 51]
