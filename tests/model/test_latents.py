import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from tiny import moving_square

from tav.model.latents import Moments, decode, decode_pixels, encode_moments, sample_latents


def tiny_vae(**config):
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        **config,
    ).eval()


def test_moments_are_the_vaes_scaled_and_shifted():
    frames = moving_square(3, 8, 12)
    vae = tiny_vae(scaling_factor=0.5, shift_factor=0.25)
    mean, std = encode_moments(vae, frames)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
    assert pixels.amin() >= -1
    assert pixels.amax() <= 1
    with torch.no_grad():
        posterior = vae.encode(pixels).latent_dist
    assert mean.shape == (3, 4, 4, 6)
    torch.testing.assert_close(mean, (posterior.mean - 0.25) * 0.5)
    torch.testing.assert_close(std, posterior.std * 0.5)


def test_samples_follow_the_posterior_and_the_seed():
    moments = Moments(torch.full((2, 4, 64, 64), 3.0), torch.full((2, 4, 64, 64), 0.5))
    sample = sample_latents(moments, torch.Generator().manual_seed(1))
    assert sample.mean().item() == pytest.approx(3, abs=0.02)
    assert sample.std().item() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(sample, sample_latents(moments, torch.Generator().manual_seed(1)))
    assert not torch.equal(sample, sample_latents(moments, torch.Generator().manual_seed(2)))


def test_decode_undoes_scale_and_shift_and_gives_frames():
    plain, scaled = tiny_vae(scaling_factor=1.0), tiny_vae(scaling_factor=0.5, shift_factor=0.25)
    latents = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    pixels = decode_pixels(plain, latents)
    torch.testing.assert_close(decode_pixels(scaled, (latents - 0.25) * 0.5), pixels)
    frames = decode(plain, latents)
    assert frames.dtype == np.uint8
    assert frames.shape == (2, 8, 12, 3)
    assert np.abs(frames / 255 - pixels.permute(0, 2, 3, 1).numpy()).max() <= 0.5 / 255 + 1e-6


def test_slices_change_nothing():
    vae, frames = tiny_vae(), moving_square(5, 8, 12)
    one, two = encode_moments(vae, frames), encode_moments(vae, frames, slice_size=2)
    torch.testing.assert_close(one, two)
    np.testing.assert_allclose(decode(vae, one.mean), decode(vae, one.mean, slice_size=2), atol=1)


def test_a_vae_that_overflows_in_half_precision_is_made_float32():
    vae = tiny_vae(force_upcast=True).half()
    assert encode_moments(vae, moving_square(1, 8, 8)).mean.isfinite().all()
    assert vae.dtype == torch.float32


@pytest.mark.parametrize(
    ("frames", "got"),
    [(np.zeros((2, 8, 8, 3), np.float32), "float32"), (np.zeros((2, 3, 8, 8), np.uint8), r"\(2, 3, 8, 8\)")],
)
def test_refuses_other_arrays(frames, got):
    with pytest.raises(ValueError, match=got):
        encode_moments(tiny_vae(), frames)
