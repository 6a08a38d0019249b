"""Prior preservation by pictures: against an image UNet and diffusers' own pipeline, and off it changes nothing."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from torch.nn import functional
from tune_tiny import SETTINGS, fresh, same, tuned

from tav.model.inflation import inflate
from tav.model.latents import Moments, encode_moments
from tav.model.pretrained import load_pipeline
from tav.model.prior_pictures import PriorPictures, draw_pictures
from tav.model.prompts import encode_prompts
from tav.model.tuning import draw, tune

WEIGHTED = dataclasses.replace(SETTINGS, steps=4, pictures_weight=0.5)


@pytest.fixture
def pictures(pipe) -> PriorPictures:
    drawn = np.random.default_rng(3).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    (prompts,) = encode_prompts(pipe, ["a cat"])
    return PriorPictures(encode_moments(pipe.vae, drawn), prompts)


def test_a_step_learns_a_picture_as_an_image_model_would(sd_folder, moments, prompt_embeds, pictures):
    unet, scheduler = fresh(sd_folder)
    plain = next(tune(unet, scheduler, moments, prompt_embeds, SETTINGS))
    unet, scheduler = fresh(sd_folder)
    both = next(tune(unet, scheduler, moments, prompt_embeds, WEIGHTED, pictures=pictures))

    generator = torch.Generator().manual_seed(SETTINGS.seed)
    draw(scheduler, moments, generator)  # the video's come first, as without pictures
    lot = int(torch.randint(3, (1,), generator=generator))
    one = Moments(pictures.moments.mean[lot : lot + 1], pictures.moments.std[lot : lot + 1])
    latents, noise, timestep = draw(scheduler, one, generator)
    image = load_pipeline(str(sd_folder), components=("unet",)).unet
    with torch.no_grad():
        predicted = image(scheduler.add_noise(latents, noise, timestep), timestep, pictures.prompts.embeds).sample
    assert both.loss - plain.loss == pytest.approx(0.5 * functional.mse_loss(predicted, noise).item(), rel=1e-3)


def test_a_run_goes_on_with_the_same_pictures_and_with_no_others(sd_folder, moments, prompt_embeds, pictures, tmp_path):
    def run(pictures, **more):
        return tuned(sd_folder, moments, prompt_embeds, WEIGHTED, pictures=pictures, checkpoint_dir=tmp_path, **more)

    whole, _ = tuned(sd_folder, moments, prompt_embeds, WEIGHTED, pictures=pictures)
    run(pictures, steps=3)
    others = pictures._replace(moments=Moments(pictures.moments.mean + 1, pictures.moments.std))
    _, steps = run(others, steps=1)
    assert not steps[0].replayed
    resumed, steps = run(pictures)
    assert [step.replayed for step in steps] == [True, True, False, False]
    assert same(resumed, whole)
    plain, _ = tuned(sd_folder, moments, prompt_embeds, dataclasses.replace(WEIGHTED, pictures_weight=0.0))
    assert not same(plain, whole)


def test_weight_and_pictures_come_together(sd_folder, moments, prompt_embeds, pictures):
    unet, scheduler = fresh(sd_folder)
    with pytest.raises(ValueError, match=r"pictures_weight is 0\.5, and there are no pictures"):
        next(tune(unet, scheduler, moments, prompt_embeds, WEIGHTED))
    with pytest.raises(ValueError, match=r"pictures_weight is 0\.0, and there are pictures"):
        next(tune(unet, scheduler, moments, prompt_embeds, SETTINGS, pictures=pictures))


def test_the_base_draws_them_as_diffusers_own_pipeline_does(sd_folder):
    ours = load_pipeline(str(sd_folder))
    inflate(ours.unet)
    prompts, negative = encode_prompts(ours, ["a cat", ""])
    shape = (4, 8, 8)
    drawn = draw_pictures(ours, prompts, negative, shape, number=5, steps=3, guidance_scale=4.0, seed=9)
    assert drawn.shape == (5, 32, 32, 3)  # the tiny VAE's factor is 4
    assert drawn.dtype == np.uint8

    theirs = StableDiffusionPipeline.from_pretrained(sd_folder, safety_checker=None)
    theirs.scheduler = DDIMScheduler.from_config(theirs.scheduler.config)
    theirs.set_progress_bar_config(disable=True)
    noise = torch.randn(5, *shape, generator=torch.Generator().manual_seed(9))
    expected = theirs(["a cat"] * 5, latents=noise, num_inference_steps=3, guidance_scale=4.0, output_type="np").images
    assert np.abs(drawn.astype(int) - (expected * 255).round()).max() <= 1
    assert len(np.unique(drawn.reshape(5, -1), axis=0)) == 5
