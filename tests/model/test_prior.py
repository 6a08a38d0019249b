"""Prior preservation against a naive reference: an image UNet of its own beside the video UNet."""

import dataclasses

import pytest
import torch
from torch.nn import functional
from tune_tiny import SETTINGS, fresh, same, tuned, weights

from tav.model.denoiser import DiffusionStep, predict_noise
from tav.model.inflation import is_inflated
from tav.model.pretrained import ddim_scheduler, load_pipeline
from tav.model.prior import ImagePrior
from tav.model.tuned_weights import tuned_parameters
from tav.model.tuning import denoising_loss, draw


def test_frame_0_is_held_to_the_image_models_prediction(either_folder, moments, prompt_embeds):
    """After the tuned weights have moved: to what the base predicts, not to what it has become."""
    unet, scheduler = fresh(either_folder)
    scheduler, parameters = ddim_scheduler(scheduler), tuned_parameters(unet)
    prior = ImagePrior(unet, parameters, 0.5)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    moved = weights(unet)
    latents, noise, timestep = draw(scheduler, moments, torch.Generator().manual_seed(2))
    without, with_it = (
        denoising_loss(unet, scheduler, latents, noise, timestep, prompt_embeds, p) for p in (None, prior)
    )
    assert same(weights(unet), moved)

    image = load_pipeline(str(either_folder), components=("unet",)).unet
    assert not is_inflated(image)
    noisy = scheduler.add_noise(latents, noise, timestep)
    with torch.no_grad():
        expected = image(noisy[:1], timestep, prompt_embeds.embeds).sample
        video = prior.predict(noisy, DiffusionStep(timestep, 0, 1), prompt_embeds)
        torch.testing.assert_close(video, expected, rtol=0, atol=1e-5)
        prediction = predict_noise(unet, noisy, timestep, *prompt_embeds)
    naive = 0.5 * functional.mse_loss(prediction[:1], expected)
    assert (with_it - without).item() == pytest.approx(naive.item(), rel=1e-3)
    assert naive > 1e-4


def test_a_run_that_goes_on_holds_to_the_same_prior(sd_folder, moments, prompt_embeds, tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=4, prior_weight=1.0)
    whole, _ = tuned(sd_folder, moments, prompt_embeds, settings)
    tuned(sd_folder, moments, prompt_embeds, settings, steps=3, checkpoint_dir=tmp_path)
    resumed, _ = tuned(sd_folder, moments, prompt_embeds, settings, checkpoint_dir=tmp_path)
    assert same(resumed, whole)
    plain, _ = tuned(sd_folder, moments, prompt_embeds, dataclasses.replace(settings, prior_weight=0.0))
    assert not same(plain, whole)
