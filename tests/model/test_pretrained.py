import hashlib
import json

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tiny import tiny_clip, tiny_stable_diffusion

from tav.model.ddim import predict_noise
from tav.model.inflation import inflate
from tav.model.pretrained import identity, load_pipeline


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


def test_stable_diffusion_2(tmp_path):
    folder = tiny_stable_diffusion(tmp_path, prediction_type="v_prediction", linear_projection=True, heads=(2, 4))
    pipe = load_pipeline(str(folder))
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    inflate(pipe.unet)
    assert predict_noise(pipe.unet, torch.zeros(2, 4, 4, 4), torch.tensor(5), torch.zeros(1, 77, 32)).shape[0] == 2


@pytest.fixture
def xl_folder(sd_folder, tmp_path):
    """Stable Diffusion XL's layout: two text encoders, time ids."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(sd_folder / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=12, bos_token_id=len(tokenizer) - 2, eos_token_id=len(tokenizer) - 1,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 12,
        sample_size=8,
    )
    StableDiffusionXLPipeline(
        vae=AutoencoderKL.from_pretrained(sd_folder / "vae"),
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler.from_pretrained(sd_folder / "scheduler"),
    ).save_pretrained(tmp_path / "xl")
    return tmp_path / "xl"


def test_stable_diffusion_xl(xl_folder):
    pipe = load_pipeline(str(xl_folder))
    assert isinstance(pipe, StableDiffusionXLPipeline)
    inflate(pipe.unet)
    embeds, _, pooled, _ = pipe.encode_prompt("a man is skiing", do_classifier_free_guidance=False)
    condition = {"text_embeds": pooled, "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]])}
    noise_pred = predict_noise(pipe.unet, torch.randn(3, 4, 8, 8), torch.tensor(5), embeds, condition)
    assert noise_pred.isfinite().all()


def test_lora_changes_the_weights_by_its_scale(sd_folder, tmp_path):
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    up, down = torch.randn(32, 2), torch.randn(2, 32)
    path = tmp_path / "lora.safetensors"
    save_file({f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}, path)
    components = ("unet", "scheduler", "text_encoder", "tokenizer")
    plain = load_pipeline(str(sd_folder), components=components).unet.get_parameter(f"{name}.weight")
    pipe = load_pipeline(str(sd_folder), loras=[(str(path), 0.5)], components=components)
    changed = pipe.unet.get_parameter(f"{name}.weight")
    torch.testing.assert_close(changed, plain + 0.5 * up @ down, rtol=1e-4, atol=1e-5)
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
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder, and not found on the hub"):
        what(str(tmp_path / "nowhere"))
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
    path = tmp_path / "model.safetensors"
    save_file(original_layout(sd_folder), path)
    pipe = load_pipeline(str(path), config=str(sd_folder))
    folder = load_pipeline(str(sd_folder))
    for name in ("unet", "vae", "text_encoder"):
        theirs = getattr(folder, name).state_dict()
        for key, tensor in getattr(pipe, name).state_dict().items():
            torch.testing.assert_close(tensor, theirs[key], msg=f"{name} {key}")
    assert identity(str(path)).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def original_layout(folder):
    """Two levels, one layer a block: what tiny_stable_diffusion makes."""
    unet = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "down_blocks.0.resnets.0": "input_blocks.1.0",
        "down_blocks.0.attentions.0": "input_blocks.1.1",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
        "down_blocks.1.resnets.0": "input_blocks.3.0",
        "down_blocks.1.attentions.0": "input_blocks.3.1",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
        "up_blocks.0.resnets.0": "output_blocks.0.0",
        "up_blocks.0.attentions.0": "output_blocks.0.1",
        "up_blocks.0.resnets.1": "output_blocks.1.0",
        "up_blocks.0.attentions.1": "output_blocks.1.1",
        "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
        "up_blocks.1.resnets.0": "output_blocks.2.0",
        "up_blocks.1.attentions.0": "output_blocks.2.1",
        "up_blocks.1.resnets.1": "output_blocks.3.0",
        "up_blocks.1.attentions.1": "output_blocks.3.1",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }
    resnet = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
              "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}  # fmt: skip
    tensors = {}
    for key, tensor in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        place = next(place for place in unet if key.startswith(f"{place}."))
        rest = key[len(place) + 1 :]
        head, _, tail = rest.partition(".")
        rest = f"{resnet[head]}.{tail}" if ".resnets." in place + "." else rest
        tensors[f"model.diffusion_model.{unet[place]}.{rest}"] = tensor
    for key, tensor in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        tensors[f"first_stage_model.{original_vae_name(key)}"] = tensor
    for key, tensor in load_file(folder / "text_encoder" / "model.safetensors").items():
        key = key if key.startswith("text_model.") else f"text_model.{key}"
        tensors[f"cond_stage_model.transformer.{key}"] = tensor
    return tensors


def original_vae_name(key):
    levels = 3
    parts = key.split(".")
    if parts[1] == "down_blocks":
        parts[1:5] = ["down", parts[2], *(["block", parts[4]] if parts[3] == "resnets" else ["downsample"])]
    elif parts[1] == "up_blocks":
        level = str(levels - 1 - int(parts[2]))
        parts[1:5] = ["up", level, *(["block", parts[4]] if parts[3] == "resnets" else ["upsample"])]
    elif parts[1] == "mid_block":
        parts[1:4] = ["mid", f"block_{int(parts[3]) + 1}" if parts[2] == "resnets" else "attn_1"]
    names = {"conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut", "group_norm": "norm", "to_q": "q",
             "to_k": "k", "to_v": "v"}  # fmt: skip
    return ".".join(names.get(part, part) for part in parts).replace("to_out.0", "proj_out")
