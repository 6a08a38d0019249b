"""Folders and single files whose weights are in other files, of other types, or not all there."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bases import tiny_single_file

from tav.model.pretrained import identity, load_pipeline

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture
def folder(sd_folder, tmp_path):
    return shutil.copytree(sd_folder, tmp_path / "sd")


def changed(file, change):
    save_file({name: new for name, old in load_file(file).items() if (new := change(name, old)) is not None}, file)


def test_weights_of_a_variant_alone(folder, sd_folder):
    for name in (UNET, VAE, TEXT):
        (folder / name).rename((folder / name).with_suffix(".fp16.safetensors"))
    for name in ("unet", "vae", "text_encoder"):
        ours, theirs = (getattr(load_pipeline(str(source)), name).state_dict() for source in (folder, sd_folder))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert identity(str(folder)).sha256 == identity(str(sd_folder)).sha256


@pytest.mark.parametrize(("name", "pickle"), [(TEXT, "pytorch_model.bin"), (UNET, "diffusion_pytorch_model.bin")])
def test_a_pickle_is_refused(folder, name, pickle):
    file = folder / name
    torch.save(load_file(file), file.with_name(pickle))
    file.unlink()
    with pytest.raises(ValueError, match=rf"has no {name}; it holds {pickle} \(a pickle can run code"):
        load_pipeline(str(folder))


@pytest.mark.parametrize("name", [UNET, VAE, TEXT])
@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.bool])
def test_weights_that_are_no_floats_are_refused(folder, name, dtype):
    changed(folder / name, lambda _, tensor: tensor.to(dtype))
    with pytest.raises(ValueError, match=rf"{name} has .* of type .*; expected floating point numbers"):
        load_pipeline(str(folder))


@pytest.mark.parametrize(("name", "part"), [(UNET, "conv_in.weight"), (VAE, "conv_in.weight"), (TEXT, "norm.weight")])
def test_a_missing_tensor_is_named(folder, name, part):
    changed(folder / name, lambda key, tensor: None if key.endswith(part) else tensor)
    with pytest.raises(ValueError, match=rf"{name.split('/')[0]} lacks .*{part}"):
        load_pipeline(str(folder))


@pytest.mark.parametrize("name", ["unet", "vae", "text_encoder"])
def test_a_missing_part_is_named(folder, name):
    shutil.rmtree(folder / name)
    with pytest.raises(ValueError, match="can't be loaded"):
        load_pipeline(str(folder))


@pytest.mark.parametrize("mark", ["first_stage_model.", "cond_stage_model.", "model.diffusion_model.out.2.weight"])
def test_a_single_file_that_lacks_something(sd_folder, tmp_path, mark):
    file = tiny_single_file(tmp_path / "model.safetensors", sd_folder)
    changed(file, lambda key, tensor: None if key.startswith(mark) else tensor)
    with pytest.raises(ValueError, match=r"model\.safetensors") as refused:
        load_pipeline(str(file), config=str(sd_folder))
    assert "\n" not in str(refused.value)


def test_a_name_is_no_hash(folder):
    """Only in the hub's cache is a file named by its hash."""
    file = folder / UNET
    named = folder / "unet" / ("a" * 64)
    file.rename(named)
    file.symlink_to(named.name)
    assert identity(str(folder)).sha256 != "a" * 64
