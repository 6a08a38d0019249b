"""Editing without tuning: each frame is on its own, and diffusers' own classes agree."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from tav.model.baselines import BASELINES, Asked, edit_frames, per_frame_ddim, per_frame_sdedit
from tav.model.ddim import Schedule, ddim_invert, ddim_sample
from tav.model.denoiser import Network, guided, prompted
from tav.model.latents import decode
from tav.model.pretrained import load_pipeline
from tav.model.prompts import encode_prompts

ASKED = Asked("a dog running", "", "a man is skiing", 4, strength=1.0, guidance_scale=3.0, seed=1)


@pytest.fixture
def image_pipe(sd_folder):
    """As a baseline has it: not inflated."""
    return load_pipeline(str(sd_folder))


@pytest.mark.parametrize("baseline", [per_frame_ddim, per_frame_sdedit])
def test_each_frame_is_edited_alone(image_pipe, moments, baseline):
    """Another second frame changes the second frame only."""
    other = moments.mean.clone()
    other[1] = -other[1]
    asked = replace(ASKED, strength=0.5)
    one, two = (baseline(image_pipe, clean, asked) for clean in (moments.mean, other))
    torch.testing.assert_close(one[[0, 2]], two[[0, 2]], atol=1e-5, rtol=1e-4)
    assert (one[1] - two[1]).abs().max() > 1e-2


def test_sdedit_from_pure_noise_is_text_to_image(image_pipe, sd_folder, moments):
    """diffusers' own pipeline makes each frame from the same noise and prompt."""
    stock = StableDiffusionPipeline.from_pretrained(sd_folder)
    stock.set_progress_bar_config(disable=True)
    noise = torch.randn(moments.mean.shape, generator=torch.Generator().manual_seed(ASKED.seed))
    made = per_frame_sdedit(image_pipe, moments.mean, ASKED)
    for i in range(len(noise)):
        expected = stock(
            ASKED.prompt,
            negative_prompt="",
            latents=noise[i : i + 1],
            height=16,
            width=24,
            num_inference_steps=4,
            guidance_scale=3.0,
            output_type="latent",
        ).images
        torch.testing.assert_close(made[i : i + 1], expected, atol=2e-4, rtol=1e-3)


def test_per_frame_ddim_is_an_inversion_and_a_guided_sampling_of_a_picture(image_pipe, moments):
    inversion, negative, target = encode_prompts(image_pipe, ["a man is skiing", "", "a dog running"])
    network, schedule = Network(image_pipe.unet), Schedule.of(image_pipe.scheduler, 4)
    inverted = ddim_invert(prompted(network, inversion), schedule, moments.mean[1:2])
    expected = ddim_sample(guided(network, target, negative, 3.0), schedule.from_step(2), inverted.at(2))
    made = per_frame_ddim(image_pipe, moments.mean, replace(ASKED, strength=0.5))
    torch.testing.assert_close(made[1:2], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", BASELINES)
def test_gives_a_video_of_the_sources_shape(image_pipe, frames, method):
    edited = edit_frames(method, image_pipe, frames, ASKED)
    assert (edited.shape, edited.dtype) == (frames.shape, np.uint8)
    assert (edit_frames(method, image_pipe, frames, ASKED) == edited).all()
    seeds = (edit_frames(method, image_pipe, frames, replace(ASKED, seed=2)) != edited).any()
    assert seeds == (method not in ("per-frame-ddim", "per-frame-plug-and-play"))


def test_text2video_zero_is_diffusers_own_and_leaves_the_network_as_it_was(image_pipe, sd_folder, frames):
    from diffusers import TextToVideoZeroPipeline

    before = {type(processor) for processor in image_pipe.unet.attn_processors.values()}
    edited = edit_frames("text2video-zero", image_pipe, frames, ASKED)
    assert {type(processor) for processor in image_pipe.unet.attn_processors.values()} == before
    stock = load_pipeline(str(sd_folder))
    parts = {name: getattr(stock, name) for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
    zero = TextToVideoZeroPipeline(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    zero.set_progress_bar_config(disable=True)
    size = {"height": 16, "width": 24, "video_length": 3, "num_inference_steps": 4, "t0": 2, "t1": 3}
    generator = torch.Generator().manual_seed(1)
    latents = zero(
        ASKED.prompt, negative_prompt="", guidance_scale=3.0, generator=generator, output_type="latent", **size
    ).images
    assert (decode(stock.vae, latents) == edited).all()


def test_what_text2video_zero_cannot_take_is_told(image_pipe, frames):
    with pytest.raises(ValueError, match="got guidance_scale 3 and 1 frames"):
        edit_frames("text2video-zero", image_pipe, frames[:1], ASKED)
    with pytest.raises(ValueError, match="there is no method 'nothing'"):
        edit_frames("nothing", image_pipe, frames, ASKED)
