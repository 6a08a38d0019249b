"""Training at 64 pixels: it goes on from a checkpoint, and ends as a pipeline that loads."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from ruamel.yaml import YAML
from transformers import CLIPTextModel

from emoji_world.render import DEBIAN_FONT
from emoji_world.settings import TextToImage64, load_settings64
from emoji_world.train64 import CHECKPOINT, learning_rate, main, preview, train
from emoji_world.world64 import words

pytestmark = pytest.mark.skipif(not DEBIAN_FONT.is_file(), reason="needs Noto Color Emoji")

SHIPPED = Path(__file__).parents[2] / "models" / "emoji-world-64"


def settings_in(folder: Path, **changed: object) -> TextToImage64:
    small = {"pictures": 8, "batch_size": 4, "widths": [8, 16, 16], "warmup_steps": 2}
    told = YAML(typ="safe").load(SHIPPED / "params.yaml")
    told["text_to_image"] |= small | changed
    YAML().dump(told, folder / "params.yaml")
    return load_settings64(folder).text_to_image


def test_the_shipped_settings_load():
    assert load_settings64(SHIPPED).text_to_image.widths == (48, 96, 192)


def test_it_goes_on_where_it_stopped(tmp_path: Path):
    settings_in(tmp_path)
    first = train(tmp_path)
    settings_in(tmp_path, pictures=12)
    on = train(tmp_path)
    assert (first.step, on.step) == (2, 3)
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert saved["step"] == 3
    assert not list(tmp_path.rglob("*.tmp"))
    before, after = first.unet.conv_in.weight, on.unet.conv_in.weight
    assert 0 < (after - before).abs().max() < 0.01  # a step from there, not other weights
    again = train(tmp_path)  # all seen: nothing more
    assert torch.equal(again.unet.conv_in.weight, after)


def test_it_ends_as_folders_that_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings_in(tmp_path, pictures=4)
    monkeypatch.setattr("sys.argv", ["train64", str(tmp_path)])
    main()
    made = tmp_path / "stable-diffusion"
    unet = UNet2DConditionModel.from_pretrained(made / "unet")
    text_encoder = CLIPTextModel.from_pretrained(made / "text_encoder")
    assert unet.config.in_channels == 8
    vocabulary = (made / "tokenizer" / "vocab.json").read_text()
    assert all(f'"{word}</w>"' in vocabulary for word in words())
    assert text_encoder.config.eos_token_id == text_encoder.config.vocab_size - 1


def test_a_preview_needs_a_checkpoint(tmp_path: Path):
    settings_in(tmp_path, pictures=4)
    with pytest.raises(FileNotFoundError, match="train first"):
        preview(tmp_path, tmp_path / "preview.png")


def test_the_rate_follows_the_pictures(tmp_path: Path):
    settings = settings_in(tmp_path, pictures=4000, learning_rate=0.001, warmup_steps=10)
    assert learning_rate(settings, 0) == pytest.approx(0.0001, rel=0.05)
    assert learning_rate(settings, 500) == pytest.approx(0.0005, rel=0.05)
    assert learning_rate(settings, 1000) == pytest.approx(0, abs=2e-6)
    assert learning_rate(settings, 2000) == learning_rate(settings, 1000)
