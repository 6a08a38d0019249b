import hashlib
import json

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from safetensors.torch import save_file
from tiny import tiny_clip, tiny_stable_diffusion
from tiny_bases import LORA, tiny_lora, tiny_sdxl, tiny_single_file, tiny_stable_diffusion_2

from tav.model.denoiser import predict_noise
from tav.model.inflation import inflate
from tav.model.pretrained import identity, load_pipeline, load_shapes


def test_loads_what_is_asked_for(sd_folder):
    pipe = load_pipeline(str(sd_folder), components=("unet", "scheduler"), dtype=torch.bfloat16)
    assert pipe.vae is None
    assert pipe.text_encoder is None
    assert pipe.unet.dtype == torch.bfloat16
    assert isinstance(pipe.scheduler, DDIMScheduler)
    whole = load_pipeline(str(sd_folder))
    assert whole.vae is not None
    assert whole.tokenizer is not None
    assert whole.safety_checker is None


def test_loaded_in_bf16_it_has_the_bits_of_float32_made_bf16(sd_folder):
    halved, whole = load_pipeline(str(sd_folder), dtype=torch.bfloat16), load_pipeline(str(sd_folder))
    for name in ("unet", "text_encoder"):
        ours, expected = (getattr(pipe, name).state_dict() for pipe in (halved, whole))
        assert ours.keys() == expected.keys()
        assert all(torch.equal(ours[key], expected[key].to(ours[key].dtype)) for key in ours)
        assert {tensor.dtype for tensor in ours.values() if tensor.is_floating_point()} == {torch.bfloat16}
    assert halved.vae.dtype == torch.float32


def test_stable_diffusion_2(tmp_path):
    pipe = load_pipeline(str(tiny_stable_diffusion_2(tmp_path)))
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    inflate(pipe.unet)
    assert predict_noise(pipe.unet, torch.zeros(2, 4, 4, 4), torch.tensor(5), torch.zeros(1, 77, 32)).shape[0] == 2


def test_stable_diffusion_xl(tmp_path):
    pipe = load_pipeline(str(tiny_sdxl(tmp_path)))
    assert isinstance(pipe, StableDiffusionXLPipeline)
    inflate(pipe.unet)
    embeds, _, pooled, _ = pipe.encode_prompt("a man is skiing", do_classifier_free_guidance=False)
    condition = {"text_embeds": pooled, "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]])}
    noise_pred = predict_noise(pipe.unet, torch.randn(3, 4, 8, 8), torch.tensor(5), embeds, condition)
    assert noise_pred.isfinite().all()


def test_lora_changes_the_weights_by_its_scale(sd_folder, tmp_path):
    path = tmp_path / "lora.safetensors"
    added = tiny_lora(path)
    components = ("unet", "scheduler", "text_encoder", "tokenizer")
    plain = load_pipeline(str(sd_folder), components=components).unet.get_parameter(f"{LORA}.weight")
    pipe = load_pipeline(str(sd_folder), loras=[(str(path), 0.5)], components=components)
    changed = pipe.unet.get_parameter(f"{LORA}.weight")
    torch.testing.assert_close(changed, plain + 0.5 * added, rtol=1e-4, atol=1e-5)
    assert not any("lora" in parameter for parameter, _ in pipe.unet.named_parameters())
    inflate(pipe.unet)
    bound = [identity(str(sd_folder), loras=loras).sha256 for loras in ([], [(str(path), 0.5)], [(str(path), 1.0)])]
    assert len(set(bound)) == 3


def test_identity_is_of_the_unets_weights(sd_folder, tmp_path):
    weights = sd_folder / "unet" / "diffusion_pytorch_model.safetensors"
    ours = identity(str(sd_folder))
    assert ours.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert ours.revision is None
    other = tiny_stable_diffusion(tmp_path, seed=1)
    assert identity(str(other)).sha256 != ours.sha256
    assert identity(str(weights)).sha256 == ours.sha256


@pytest.mark.parametrize("what", [load_pipeline, identity])
def test_nothing_there(what, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder or \.safetensors file; .* hub:owner/name"):
        what(str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="owner/nowhere: not found on the hub, nor in its cache here"):
        what("hub:owner/nowhere")
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such file"):
        what(str(tmp_path / "model.safetensors"))


def test_other_kinds_are_named(sd_folder, tmp_path):
    with pytest.raises(ValueError, match="holds a CLIPModel; expected Stable Diffusion 1, 2 or XL"):
        load_pipeline(str(tiny_clip(tmp_path / "clip")))
    with pytest.raises(ValueError, match="holds a UNet2DConditionModel"):
        load_pipeline(str(sd_folder / "unet"))
    for kind in ("FluxPipeline", "StableDiffusionInpaintPipeline"):
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
        with pytest.raises(ValueError, match=f"is a {kind}; expected"):
            load_pipeline(str(tmp_path))
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "TuneAVideoPipeline"}))
    with pytest.raises(ValueError, match="output of the official code"):
        load_pipeline(str(tmp_path))


def test_other_single_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is a pickle"):
        load_pipeline(str(tmp_path / "model.ckpt"))
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"is not a \.safetensors file"):
        load_pipeline(str(path))
    save_file({"something": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"no model\.diffusion_model\.\* tensors"):
        load_pipeline(str(path))


def test_a_single_file_in_the_original_layout(sd_folder, tmp_path):
    """The names that community checkpoints have, written from a folder's; the numbers must come back."""
    path = tiny_single_file(tmp_path / "model.safetensors", sd_folder)
    pipe = load_pipeline(str(path), config=str(sd_folder))
    folder = load_pipeline(str(sd_folder))
    for name in ("unet", "vae", "text_encoder"):
        theirs = getattr(folder, name).state_dict()
        for key, tensor in getattr(pipe, name).state_dict().items():
            torch.testing.assert_close(tensor, theirs[key], msg=f"{name} {key}")
    assert identity(str(path)).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_single_file_without_a_configuration_that_fits(sd_folder, tmp_path):
    """None is asked of the hub, which is out of reach; one of another kind has other shapes."""
    path = str(tiny_single_file(tmp_path / "model.safetensors", sd_folder))
    for config, named in [(None, r"the hub \(base\.config is null\)"), (str(tiny_sdxl(tmp_path / "xl")), "xl")]:
        with pytest.raises(ValueError, match=f"configuration of .*{named}: set base.config to a folder or hub id"):
            load_pipeline(path, config=config)
    with pytest.raises(ValueError, match="clip holds a CLIPModel"):
        load_pipeline(path, config=str(tiny_clip(tmp_path / "clip")))


@pytest.mark.parametrize("what", [load_pipeline, identity, load_shapes])
def test_a_path_asks_no_hub(what, monkeypatch):
    """The name of a folder that is not there goes nowhere."""
    asked = []
    monkeypatch.setattr("socket.socket.connect", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        what("models/typo")
    with pytest.raises(FileNotFoundError, match="no such"):
        what("models/typo.safetensors")
    assert not asked
