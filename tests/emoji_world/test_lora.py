"""The LoRA that brings a style to the world: four greens, from a dozen pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from emoji_world.lora import GREENS, STYLE, Settings, batches, dozen, in_style, train_into
from emoji_world.render import DEBIAN_FONT

BASE = Path(__file__).parents[2] / "models/emoji-world"
needs_font = pytest.mark.skipif(not DEBIAN_FONT.is_file(), reason="fonts-noto-color-emoji is not installed")


def test_a_picture_in_four_greens() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=-1)
    styled = in_style(ramp)
    assert styled.dtype == np.uint8
    assert np.unique(styled.reshape(-1, 3), axis=0).tolist() == GREENS.tolist()
    assert (np.diff(styled.sum(-1).astype(int)) >= 0).all()  # dark stays dark


@needs_font
def test_half_of_a_batch_is_the_worlds_own() -> None:
    settings = Settings(pictures=3, batch_size=8)
    known, said = dozen(settings)
    pictures, words = next(batches(settings))
    assert pictures.shape == (8, 3, 32, 32)
    assert [text.startswith(STYLE) for text in words] == [True] * 4 + [False] * 4
    for picture, text in zip(pictures[:4], words[:4], strict=True):
        of_dozen = known[said.index(text)]
        assert torch.equal(picture, of_dozen) or torch.equal(picture, of_dozen.flip(-1))


@needs_font
def test_what_is_trained_is_a_lora_that_a_base_takes(tmp_path: Path) -> None:
    from tav.model.pretrained import load_pipeline

    train_into(BASE, tmp_path, Settings(steps=2, batch_size=4, pictures=2))
    file = tmp_path / "pytorch_lora_weights.safetensors"
    assert file.stat().st_size < 300_000
    folder = str(BASE / "stable-diffusion")
    plain, fused = (load_pipeline(folder, loras=loras, components=("unet",)).unet for loras in ([], [(str(file), 1.0)]))
    moved = {name for name, tensor in fused.state_dict().items() if not torch.equal(tensor, plain.state_dict()[name])}
    assert moved
    assert {name.split(".")[-3 if ".to_out." in name else -2] for name in moved} <= {"to_q", "to_k", "to_v", "to_out"}
