"""Tuned weights as a LoRA: how near it is, out and in again, and in diffusers' own hands."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tav.model.inflation import inflate
from tav.model.pretrained import identity, load_pipeline
from tav.model.tuned_lora import add_lora, factors, save_lora, seed_of, tuned_lora
from tav.model.tuned_weights import TUNED, saved_tensors

COMPONENTS = ("unet", "scheduler", "text_encoder", "tokenizer")


def fresh(folder: Path, seed: int = 5) -> torch.nn.Module:
    return inflate(load_pipeline(str(folder), components=("unet",)).unet, seed=seed)


def tuned_by(folder: Path, rank: int) -> torch.nn.Module:
    """As if tuning had added matrices of this rank."""
    unet, generator = fresh(folder), torch.Generator().manual_seed(1)
    for name, tensor in saved_tensors(unet).items():
        if TUNED.search(name):
            shape = tensor.shape
            parts = (torch.randn(n, rank, generator=generator) for n in shape)
            tensor += 0.1 * (next(parts) @ next(parts).T if tensor.ndim == 2 else torch.ones(shape))
    return unet


@pytest.fixture(scope="module")
def tuned(sd_folder: Path) -> torch.nn.Module:
    return tuned_by(sd_folder, 3)


def test_no_pair_is_nearer() -> None:
    added = torch.randn(12, 7, generator=torch.Generator().manual_seed(0))
    up, down = factors(added, 3)
    values = torch.linalg.svdvals(added)
    assert (up.shape, down.shape) == ((12, 3), (3, 7))
    assert (added - up @ down).norm().item() == pytest.approx(values[3:].norm().item(), rel=1e-5)


def test_out_and_in_again(tuned: torch.nn.Module, sd_folder: Path, tmp_path: Path) -> None:
    base = identity(str(sd_folder), None)
    untuned = saved_tensors(fresh(sd_folder))
    tensors, error = tuned_lora(saved_tensors(tuned), untuned, rank=3)
    assert error < 1e-4
    save_lora(tensors, tmp_path / "lora.safetensors", base=base, seed=5, rank=3)
    assert seed_of(tmp_path / "lora.safetensors") == 5
    back = fresh(sd_folder)
    add_lora(back, tmp_path / "lora.safetensors", base=base)
    for name, tensor in saved_tensors(tuned).items():
        torch.testing.assert_close(saved_tensors(back)[name], tensor, atol=2e-3, rtol=0)


def test_its_error_is_what_is_missing(tuned: torch.nn.Module, sd_folder: Path) -> None:
    ours, untuned = saved_tensors(tuned), saved_tensors(fresh(sd_folder))
    tensors, error = tuned_lora(ours, untuned, rank=1)
    lost = total = 0.0
    for name, tensor in ours.items():
        if tensor.ndim == 2:
            layer = f"unet.{name.removesuffix('.weight')}"
            added = tensor - untuned[name]
            made = tensors[f"{layer}.lora_B.weight"] @ tensors[f"{layer}.lora_A.weight"]
            lost, total = lost + (added - made).norm() ** 2, total + added.norm() ** 2
    assert error == pytest.approx(float(lost / total) ** 0.5, rel=1e-4)
    assert 0.2 < error < 0.9
    assert tuned_lora(untuned, untuned, rank=1)[1] == 0


def test_diffusers_reads_it(tuned: torch.nn.Module, sd_folder: Path, tmp_path: Path) -> None:
    """Into an inflated UNet as a whole, into an image UNet the queries."""
    base = identity(str(sd_folder), None)
    tensors, _ = tuned_lora(saved_tensors(tuned), saved_tensors(fresh(sd_folder)), rank=3)
    save_lora(tensors, tmp_path / "lora.safetensors", base=base, seed=5, rank=3)
    for inflated in (True, False):
        pipe = load_pipeline(str(sd_folder), components=COMPONENTS)
        if inflated:
            inflate(pipe.unet, seed=5)
        pipe.load_lora_weights(str(tmp_path / "lora.safetensors"))
        pipe.fuse_lora()
        pipe.unload_lora_weights()
        theirs = dict(pipe.unet.named_parameters())
        for name, tensor in saved_tensors(tuned).items():
            if name.endswith(".weight") and "norm_temp" not in name and (inflated or "attn_temp" not in name):
                torch.testing.assert_close(theirs[name], tensor, atol=2e-3, rtol=0)


def test_what_is_refused(tuned: torch.nn.Module, sd_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    tensors, _ = tuned_lora(saved_tensors(tuned), saved_tensors(fresh(sd_folder)), rank=1)
    base = identity(str(sd_folder), None)
    save_lora(tensors, path, base=base, seed=5, rank=1)
    with pytest.raises(ValueError, match="was tuned from another base"):
        add_lora(fresh(sd_folder), path, base=replace(base, sha256="0"))
    good = load_file(path)
    save_file({name.replace("to_q", "to_k"): tensor for name, tensor in good.items()}, path)
    with pytest.raises(ValueError, match="which is nothing that tuning changes"):
        add_lora(fresh(sd_folder), path)
    save_file({name: torch.zeros(9, 9) for name in good if "to_q" in name}, path)
    with pytest.raises(ValueError, match="is for another base"):
        add_lora(fresh(sd_folder), path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="is no LoRA in diffusers' layout"):
        seed_of(path)
    norms = saved_tensors(tuned_by(sd_folder, 1))
    name = next(name for name in norms if "norm_temp" in name)
    norms[name] = norms[name] + 1
    with pytest.raises(ValueError, match="which no LoRA can hold"):
        tuned_lora(norms, saved_tensors(fresh(sd_folder)), rank=1)
