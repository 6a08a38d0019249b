"""Tuning beside a ControlNet or a T2I-Adapter, against the networks called by hand."""

import dataclasses

import pytest
import torch
from tiny_controls import tiny_adapter, tiny_controlnet
from torch.nn import functional
from tune_tiny import SETTINGS, fresh, same, tuned

from tav.model.control import Control, Controls
from tav.model.control_files import load_control
from tav.model.inflation import set_num_frames
from tav.model.pretrained import ddim_scheduler, load_pipeline
from tav.model.prior import ImagePrior
from tav.model.tuned_weights import tuned_parameters
from tav.model.tuning import denoising_loss, draw

MAPS = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folders(sd_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    return {"net": tiny_controlnet(folder / "net", sd_folder), "adapter": tiny_adapter(folder / "adapter")}


def controls_of(unet, folder, moments, maps=MAPS, **settings):
    size = moments.mean.shape[-2:]
    maps = functional.interpolate(maps, tuple(4 * side for side in size))
    return Controls([Control(load_control(str(folder), unet, factor=4), maps, **settings)], unet, size)


@pytest.fixture
def drawn(sd_folder, moments):
    """A fresh network, and what a step is about."""
    unet, scheduler = fresh(sd_folder)
    scheduler = ddim_scheduler(scheduler)
    return unet, scheduler, *draw(scheduler, moments, torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("kind", "scale"), [("net", 0.7), ("adapter", 10.0)])
def test_a_step_is_the_unet_with_what_the_network_adds(drawn, moments, prompt_embeds, folders, kind, scale):
    unet, scheduler, latents, noise, timestep = drawn
    controls = controls_of(unet, folders[kind], moments, scale=scale)
    noisy = scheduler.add_noise(latents, noise, timestep)
    call = (noisy, timestep.expand(3), prompt_embeds.embeds.repeat(3, 1, 1))
    (one,) = [*controls.nets, *(control for control, _ in controls.adapters)]
    with torch.no_grad():
        if kind == "net":
            down, mid = one.model(*call, one.maps, scale, return_dict=False)
            more = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        else:
            more = {"down_intrablock_additional_residuals": [scale * feature for feature in one.model(one.maps)]}
        set_num_frames(unet, 3)
        naive = functional.mse_loss(unet(*call, **more).sample, noise)
    loss = denoising_loss(unet, scheduler, latents, noise, timestep, prompt_embeds, None, [controls])
    torch.testing.assert_close(loss, naive, rtol=1e-5, atol=0)
    plain = denoising_loss(unet, scheduler, latents, noise, timestep, prompt_embeds)
    assert abs(loss - plain) > 1e-3
    loss.backward()
    assert all(parameter.grad is None for parameter in one.model.parameters())
    assert all(parameter.grad is not None for parameter in tuned_parameters(unet).values())


def test_start_and_end_are_shares_of_the_noise_levels(drawn, moments, prompt_embeds, folders):
    unet, scheduler, latents, noise, _ = drawn
    early = controls_of(unet, folders["net"], moments, end=0.5)

    def differs(timestep):
        losses = (
            denoising_loss(unet, scheduler, latents, noise, torch.tensor([timestep]), prompt_embeds, None, beside)
            for beside in ([early], [])
        )
        return not torch.equal(*losses)

    assert [differs(timestep) for timestep in (999, 500, 499, 0)] == [True, True, False, False]


def test_a_window_follows_its_own_maps(drawn, moments, prompt_embeds, folders):
    unet, scheduler, latents, noise, timestep = drawn
    asked = (unet, scheduler, latents[1:], noise[1:], timestep, prompt_embeds, None)
    whole, part = (controls_of(unet, folders["net"], moments, maps) for maps in (MAPS, MAPS[1:]))
    assert torch.equal(
        denoising_loss(*asked, [whole], torch.tensor([1, 2])), denoising_loss(*asked, [part], torch.arange(2))
    )


def test_frame_0_is_held_to_the_image_model_under_the_same_control(sd_folder, drawn, moments, prompt_embeds, folders):
    unet, scheduler, latents, noise, timestep = drawn
    prior, controls = ImagePrior(unet, tuned_parameters(unet), 0.5), controls_of(unet, folders["net"], moments)
    with torch.no_grad():
        for parameter in tuned_parameters(unet).values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    beside, (net,) = [controls], controls.nets
    without, with_it = (
        denoising_loss(unet, scheduler, latents, noise, timestep, prompt_embeds, p, beside) for p in (None, prior)
    )
    image = load_pipeline(str(sd_folder), components=("unet",)).unet
    call = (scheduler.add_noise(latents, noise, timestep)[:1], timestep, prompt_embeds.embeds)
    with torch.no_grad():
        down, mid = net.model(*call, net.maps[:1], return_dict=False)
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        expected = image(*call, **residuals).sample
        set_num_frames(unet, 3)
        of_all = net.model(
            scheduler.add_noise(latents, noise, timestep), timestep.expand(3), prompt_embeds.embeds.repeat(3, 1, 1),
            net.maps, return_dict=False,
        )  # fmt: skip
        video = unet(
            scheduler.add_noise(latents, noise, timestep), timestep.expand(3), prompt_embeds.embeds.repeat(3, 1, 1),
            down_block_additional_residuals=of_all[0], mid_block_additional_residual=of_all[1],
        ).sample  # fmt: skip
    naive = 0.5 * functional.mse_loss(video[:1], expected)
    assert (with_it - without).item() == pytest.approx(naive.item(), rel=1e-3)


def test_a_run_goes_on_under_the_same_control_alone(sd_folder, moments, prompt_embeds, folders, tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=4, checkpoint_every=2)
    unet = fresh(sd_folder)[0]
    controls = controls_of(unet, folders["net"], moments)

    def under(beside, steps=None):
        asked = (sd_folder, moments, prompt_embeds, settings, steps)
        return tuned(*asked, controls=beside, checkpoint_dir=tmp_path)[0]

    whole, _ = tuned(sd_folder, moments, prompt_embeds, settings, controls=controls)
    plain, _ = tuned(sd_folder, moments, prompt_embeds, settings)
    assert not same(whole, plain)
    under(controls, steps=3)
    assert same(under(controls), whole)
    weaker = controls_of(unet, folders["net"], moments, scale=0.5)
    elsewhere = controls_of(unet, folders["net"], moments, 1 - MAPS)
    for other in (None, weaker, elsewhere):
        fresh_run, _ = tuned(sd_folder, moments, prompt_embeds, settings, controls=other)
        assert same(under(other), fresh_run)
