"""The benchmark's second implementation gives the same numbers as ours: otherwise its ratio would mean nothing."""

import importlib.util
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from einops import rearrange

from tav.model.denoiser import predict_noise
from tav.model.inflation import inflate
from tav.model.tuned_weights import tuned_parameters

spec = importlib.util.spec_from_file_location("official", Path(__file__).parents[2] / "benchmarks" / "official.py")
official = importlib.util.module_from_spec(spec)
spec.loader.exec_module(official)


def test_same_output_and_the_official_gradients():
    torch.manual_seed(0)
    unet = inflate(UNet2DConditionModel(block_out_channels=(16, 16, 32, 32), cross_attention_dim=16, norm_num_groups=8,
                                        attention_head_dim=2, layers_per_block=1))  # fmt: skip
    unet.requires_grad_(False)
    parameters = tuned_parameters(unet)
    for parameter in parameters.values():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
        parameter.requires_grad_(True)
    video, context = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 7, 16)
    theirs = official.video_unet(unet, video, torch.tensor([321]), context, checkpointing=True)
    ours = predict_noise(unet, rearrange(video, "b c f h w -> (b f) c h w"), torch.tensor(321), context)
    torch.testing.assert_close(rearrange(theirs, "b c f h w -> (b f) c h w"), ours, rtol=0, atol=5e-6)
    theirs.square().sum().backward()
    without = {name for name, parameter in parameters.items() if parameter.grad is None}
    assert without == {name for name in parameters if name.startswith("down_blocks.")}
