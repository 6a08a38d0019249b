import json

import pytest
import torch
from safetensors.torch import save_file

from tav.model.inflation import inflate
from tav.model.official import export_official, import_official
from tav.model.pretrained import load_pipeline
from tav.model.tuned_weights import tuned_parameters


def image_unet(folder):
    return load_pipeline(str(folder), components=("unet",)).unet


@pytest.fixture
def exported(sd_folder, tmp_path):
    unet = inflate(image_unet(sd_folder))
    with torch.no_grad():
        for parameter in tuned_parameters(unet).values():
            parameter.add_(0.1)
    export_official(unet, tmp_path / "unet")
    return unet, tmp_path / "unet"


def as_bin(folder):
    pass


def as_safetensors(folder):
    weights = folder / "diffusion_pytorch_model.bin"
    save_file(torch.load(weights, weights_only=True), folder / "diffusion_pytorch_model.safetensors")
    weights.unlink()


@pytest.mark.parametrize("kind", [as_bin, as_safetensors])
def test_out_and_in_again(exported, sd_folder, kind):
    unet, folder = exported
    kind(folder)
    other = image_unet(sd_folder)
    import_official(other, folder)
    theirs = other.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in unet.state_dict().items())


def test_config_is_the_official_classes(exported):
    config = json.loads((exported[1] / "config.json").read_text())
    assert config["_class_name"] == "UNet3DConditionModel"
    assert config["down_block_types"] == ["CrossAttnDownBlock3D"] * 2
    assert config["mid_block_type"] == "UNetMidBlock3DCrossAttn"
    assert config["cross_attention_dim"] == 32


def test_another_base_is_told(exported, sd_folder):
    other = image_unet(sd_folder)
    with torch.no_grad():
        other.conv_in.weight.add_(0.5)
    with pytest.raises(ValueError, match=r"not tuned from this base: its conv_in\.weight differs"):
        import_official(other, exported[1])


def test_a_pickle_with_more_than_tensors_is_not_run(exported, sd_folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"conv_in.weight": Trap()}, exported[1] / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match="damaged or holds more than tensors"):
        import_official(image_unet(sd_folder), exported[1])
    assert not (tmp_path / "ran").exists()


def test_nothing_there(sd_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="has no diffusion_pytorch_model"):
        import_official(image_unet(sd_folder), tmp_path)
