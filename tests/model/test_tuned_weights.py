import os

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tav.artifacts import write_tensors
from tav.model.inflation import inflate, is_inflated
from tav.model.pretrained import BaseIdentity, load_pipeline
from tav.model.tuned_weights import (
    load_tuned_weights,
    read_safetensors,
    save_tuned_weights,
    temporal_and_query_groups,
    tuned_parameters,
    write_safetensors,
)

BASE = BaseIdentity("models/tiny", None, "a" * 64)


def image_unet(folder):
    return load_pipeline(str(folder), components=("unet",)).unet


def perturb(unet):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name in tuned_parameters(unet) or "norm_temp" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator))
    return unet


@pytest.fixture
def saved(sd_folder, tmp_path):
    unet = perturb(inflate(image_unet(sd_folder)))
    path = tmp_path / "tuned.safetensors"
    save_tuned_weights(unet, path, base=BASE, metadata={"prompt": "a man is skiing"})
    return unet, path


def test_stable_diffusion_1_has_112_tuned_tensors():
    """Of 74,354,880 numbers, in 149 MB of fp16. On the meta device: no memory, no weights."""
    with torch.device("meta"):
        unet = inflate(UNet2DConditionModel(cross_attention_dim=768))  # the defaults are SD 1's
    parameters = tuned_parameters(unet)
    assert len(parameters) == 112
    assert sum(parameter.numel() for parameter in parameters.values()) == 74_354_880


def test_round_trip(saved, sd_folder):
    unet, path = saved
    other = image_unet(sd_folder)
    load_tuned_weights(other, path, base=BASE)
    assert is_inflated(other)
    theirs = other.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in unet.state_dict().items())


def test_the_file_holds_the_tuned_tensors_and_the_base(saved):
    unet, path = saved
    with safe_open(path, "pt") as file:
        header, names = file.metadata(), set(file.keys())
    assert {name for name in names if "norm_temp" not in name} == tuned_parameters(unet).keys()
    assert header["base_name"] == "models/tiny"
    assert header["base_sha256"] == "a" * 64
    assert header["prompt"] == "a man is skiing"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_half_precision_on_disk_keeps_the_models_dtype(saved, sd_folder, tmp_path):
    unet, path = saved
    half = tmp_path / "half.safetensors"
    save_tuned_weights(unet, half, base=BASE, dtype=torch.float16)
    assert half.stat().st_size < 0.55 * path.stat().st_size
    other = image_unet(sd_folder)
    load_tuned_weights(other, half)
    assert {parameter.dtype for parameter in other.parameters()} == {torch.float32}
    name, parameter = next(iter(tuned_parameters(other).items()))
    torch.testing.assert_close(parameter, unet.get_parameter(name), rtol=1e-3, atol=1e-3)


def test_refuses_weights_of_another_base(saved, sd_folder):
    with pytest.raises(ValueError, match=r"tuned from models/tiny \(sha256 aaaaaaaaaaaa\), but the base is other"):
        load_tuned_weights(image_unet(sd_folder), saved[1], base=BaseIdentity("other", None, "b" * 64))


def test_names_what_does_not_fit(saved, sd_folder, tmp_path):
    path = tmp_path / "odd.safetensors"
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"

    def write(change):
        tensors = load_file(saved[1])
        change(tensors)
        save_file(tensors, path, {"kind": "tuned_weights"})
        unet = image_unet(sd_folder)
        before = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
        return unet, before

    for change, complaint in [
        (lambda tensors: tensors.pop(name), f"lacks {name}"),
        (lambda tensors: tensors.update(odd=torch.zeros(1)), "has the unknown odd"),
        (lambda tensors: tensors.update({name: torch.zeros(3, 5)}), rf"{name} of shape \(3, 5\), expected \(32, 32\)"),
    ]:
        unet, before = write(change)
        with pytest.raises(ValueError, match=complaint):
            load_tuned_weights(unet, path)
        assert all(torch.equal(unet.state_dict()[key], tensor) for key, tensor in before.items()), "half loaded"


def test_refuses_other_files(saved, sd_folder, tmp_path):
    unet = image_unet(sd_folder)
    with pytest.raises(FileNotFoundError, match=r"missing\.safetensors"):
        load_tuned_weights(unet, tmp_path / "missing.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved[1].read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cut\.safetensors is damaged"):
        load_tuned_weights(unet, cut)
    with pytest.raises(ValueError, match="is not a file of tuned weights"):
        load_tuned_weights(unet, sd_folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert not is_inflated(unet)


def test_groups(sd_folder):
    parameters = tuned_parameters(inflate(image_unet(sd_folder)))
    query, temporal = temporal_and_query_groups(parameters, 1e-4, 3e-4)
    assert (query["lr"], temporal["lr"]) == (1e-4, 3e-4)
    assert len(query["params"]) == 2 * len(temporal["params"]) // 5
    assert temporal_and_query_groups(parameters, 1e-4)[1]["lr"] == 1e-4


def test_a_file_has_the_mode_that_the_umask_gives(tmp_path):
    before = os.umask(0o022)
    try:
        write_safetensors({"a": torch.ones(2)}, tmp_path / "a.safetensors", {})
        write_tensors(tmp_path / "b.safetensors", {"a": torch.ones(2)})
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.iterdir())] == [0o644, 0o644]


def test_the_same_weights_are_the_same_bytes(tmp_path):
    header = {name: f"ä {name}\n" for name in "hgfedcba"}  # safetensors writes them in an order by chance
    write_safetensors({"x": torch.ones(2)}, tmp_path / "weights.safetensors", header)
    data = (tmp_path / "weights.safetensors").read_bytes()
    assert [data.index(f'"{name}":'.encode()) for name in header] == sorted(
        (data.index(f'"{name}":'.encode()) for name in header), reverse=True
    )
    assert read_safetensors(tmp_path / "weights.safetensors")[0] == header
