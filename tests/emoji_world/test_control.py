"""The shipped ControlNet."""

from pathlib import Path

import torch

from emoji_world.control import THRESHOLDS, edge_maps
from tav.model.control_files import load_control
from tav.model.pretrained import load_pipeline
from tav.video.condition_maps import canny

BASE = Path(__file__).parents[2] / "models/emoji-world"


def test_it_is_for_the_shipped_base_and_does_something() -> None:
    unet = load_pipeline(str(BASE / "stable-diffusion"), components=("unet",)).unet
    net = load_control(str(BASE / "controlnet"), unet, factor=2)
    generator = torch.Generator().manual_seed(0)
    latents, maps = torch.randn(1, 6, 16, 16, generator=generator), torch.zeros(1, 3, 32, 32)
    maps[:, :, 8:24, 8] = 1
    with torch.no_grad():
        _, mid = net(latents, 500, torch.randn(1, 77, 128, generator=generator), maps, return_dict=False)
    assert mid.abs().max() > 0.1


def test_it_was_trained_on_the_maps_that_the_stage_makes() -> None:
    frames = torch.randint(0, 256, (2, 32, 32, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixel_values = frames.permute(0, 3, 1, 2).float() / 127.5 - 1
    trained_on = (edge_maps(pixel_values) * 255).byte().permute(0, 2, 3, 1)
    assert (trained_on.numpy() == canny(frames.numpy(), THRESHOLDS)).all()
