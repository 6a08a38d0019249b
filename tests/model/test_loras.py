"""LoRAs that fit, that fit in part, and that don't. Files of tests/cases/loras are of other projects' layouts."""

from pathlib import Path

import huggingface_hub
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tiny_bases import LORA, tiny_lora

from tav.model.loras import lora_path
from tav.model.pretrained import load_pipeline
from tav.params.sections import Lora

CASES = Path(__file__).parents[1] / "cases/loras"
COMPONENTS = ("unet", "scheduler", "text_encoder", "tokenizer")


def fused(folder, path):
    return load_pipeline(str(folder), loras=[(str(path), 1.0)], components=COMPONENTS)


def renamed(path, rename, out):
    save_file({rename(name): tensor for name, tensor in load_file(path).items()}, out)
    return out


@pytest.fixture
def lora(tmp_path):
    tiny_lora(tmp_path / "lora.safetensors")
    return tmp_path / "lora.safetensors"


def test_names_without_the_networks_are_refused(sd_folder, lora, tmp_path):
    path = renamed(lora, lambda name: name.removeprefix("unet."), tmp_path / "noprefix.safetensors")
    with pytest.raises(ValueError, match=r"fits nothing of this base: looked for names as unet\..*, found 2 as mid_bl"):
        fused(sd_folder, path)


def test_of_another_kind_of_network(sd_folder):
    with pytest.raises(ValueError, match=r"fits nothing .*found 2 as transformer\.blocks"):
        fused(sd_folder, CASES / "flux.safetensors")


def test_what_fits_nothing_is_told(sd_folder, lora, tmp_path, capsys):
    strangers = renamed(
        lora, lambda name: name.replace("mid_block", "down_blocks.7"), tmp_path / "strangers.safetensors"
    )
    save_file(load_file(lora) | load_file(strangers), tmp_path / "half.safetensors")
    half, whole = (
        fused(sd_folder, path).unet.get_parameter(f"{LORA}.weight") for path in (tmp_path / "half.safetensors", lora)
    )
    assert "1 of 2 layers are not in this base and left out, the first unet.down_blocks.7" in capsys.readouterr().err
    assert torch.equal(half, whole)


def test_of_another_width(sd_folder):
    with pytest.raises(ValueError, match=r"is for another base: its .*to_q goes from 320 to 320 numbers, this base's"):
        fused(sd_folder, CASES / "wide.safetensors")


@pytest.mark.parametrize("mark", ["dora_scale", "lora_magnitude_vector"])
def test_a_dora_is_refused(sd_folder, lora, tmp_path, mark):
    tensors = load_file(lora) | {f"unet.{LORA}.{mark}": torch.ones(32)}
    save_file(tensors, tmp_path / "dora.safetensors")
    with pytest.raises(ValueError, match=f"is a DoRA .*{mark}"):
        fused(sd_folder, tmp_path / "dora.safetensors")


def test_of_the_text_encoder(sd_folder, tmp_path):
    """Whichever name the layer has had: what diffusers does not take is an error, never silence."""
    plain = load_pipeline(str(sd_folder), components=COMPONENTS)
    name, module = next((n, m) for n, m in plain.text_encoder.named_modules() if n.endswith("q_proj"))
    down, up = torch.ones(2, module.in_features), torch.ones(module.out_features, 2)
    path = tmp_path / "text.safetensors"
    save_file({f"text_encoder.{name}.lora_A.weight": down, f"text_encoder.{name}.lora_B.weight": up}, path)
    after = fused(sd_folder, path).text_encoder.get_submodule(name).weight
    torch.testing.assert_close(after, module.weight + up @ down)


@pytest.mark.parametrize("content", [b"", b"not a lora at all", b"\x80\x04K\x01."])
def test_not_a_lora(sd_folder, tmp_path, content):
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.safetensors is damaged or not a safetensors file"):
        fused(sd_folder, tmp_path / "bad.safetensors")
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(ValueError, match="holds no tensors"):
        fused(sd_folder, tmp_path / "empty.safetensors")


def test_a_lora_that_is_not_there(sd_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"LoRA .*nowhere: no such \.safetensors file"):
        fused(sd_folder, tmp_path / "nowhere")


def test_of_the_hub(lora, tmp_path, monkeypatch):
    """From its cache: a branch's commit, and the files of that commit."""
    commit, model = "0" * 40, tmp_path / "models--owner--name"
    kept = model / "snapshots" / commit / "loras/pytorch_lora_weights.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(lora.read_bytes())
    (model / "refs").mkdir()
    (model / "refs/main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    name = "loras/pytorch_lora_weights.safetensors"
    assert lora_path("hub:owner/name", name) == lora_path("hub:owner/name", name, commit) == str(kept)
    with pytest.raises(FileNotFoundError, match=r"name/other.safetensors: not found on the hub, nor in its cache"):
        lora_path("hub:owner/name", "other.safetensors")
    assert lora_path("models/lora", "a.safetensors") == "models/lora/a.safetensors"
    with pytest.raises(ValidationError, match="is on the hub: name its file"):
        Lora(source="hub:owner/name")
