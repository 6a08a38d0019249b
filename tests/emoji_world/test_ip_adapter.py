"""The IP-Adapter that teaches the world to take a hue from a picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from emoji_world.ip_adapter import ENCODER, FILE, Settings, references, train_into
from emoji_world.render import DEBIAN_FONT, render_scene
from emoji_world.world import sample_scene

BASE = Path(__file__).parents[2] / "models/emoji-world"


def test_a_reference_is_the_same_thing_elsewhere() -> None:
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng) for _ in range(8)]
    for scene, other in zip(scenes, references(scenes, rng), strict=True):
        assert (other.noun, other.hue, other.style, other.background) == (
            scene.noun, scene.hue, scene.style, scene.background,
        )  # fmt: skip
        assert (other.x, other.y) != (scene.x, scene.y)


@pytest.mark.skipif(not DEBIAN_FONT.is_file(), reason="fonts-noto-color-emoji is not installed")
def test_what_is_trained_is_an_adapter_that_an_edit_takes(tmp_path: Path) -> None:
    from tav.model.denoiser import DiffusionStep, Network
    from tav.model.inflation import inflate
    from tav.model.pretrained import load_pipeline
    from tav.model.prompts import encode_prompts
    from tav.model.reference import load_reference
    from tav.model.reference_files import ReferenceFiles

    train_into(BASE, tmp_path, Settings(steps=2, batch_size=4))
    trained = load_file(tmp_path / FILE)
    pipe = load_pipeline(str(BASE / "stable-diffusion"), components=("unet", "text_encoder", "tokenizer", "scheduler"))
    first = pipe.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    assert trained["ip_adapter.1.to_v_ip.weight"].shape == first.to_v.weight.shape
    assert not torch.equal(trained["ip_adapter.1.to_v_ip.weight"], first.to_v.weight.half())  # it has learned
    inflate(pipe.unet)
    files = ReferenceFiles(str(tmp_path), str(FILE), str(ENCODER))
    scene = sample_scene(np.random.default_rng(1), noun="car", style="plain", colour="red")
    (prompt,) = encode_prompts(pipe, ["a car on a road"])
    latents, step = torch.randn(2, 6, 16, 16), DiffusionStep(torch.tensor(500), 0, 4)
    seen = []
    for shown in (scene, replace(scene, hue=210.0)):
        reference = load_reference(pipe, files, render_scene(shown, 64, 64))
        with torch.no_grad(), reference.on(pipe.unet):
            seen.append(Network(pipe.unet)(latents, step, reference.shown(prompt)))
    assert not torch.equal(*seen)
