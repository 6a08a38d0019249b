"""Tiny bases of other kinds than tiny.py's folder: Stable Diffusion XL, a single-file checkpoint, a LoRA."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_stable_diffusion

LORA = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
"""The layer that tiny_lora changes. Every tiny UNet has it, 32 wide."""


def tiny_stable_diffusion_2(folder: Path) -> Path:
    """SD 2's layout: v-prediction, linear projection, as many heads as a level needs."""
    return tiny_stable_diffusion(folder, prediction_type="v_prediction", linear_projection=True, heads=(2, 4))


def tiny_sdxl(folder: Path, *, force_zeros_for_empty_prompt: bool = True) -> Path:
    """SDXL's layout: two text encoders of different widths, time ids, no attention at the first level."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    sd = tiny_stable_diffusion(folder / "parts")
    tokenizer = CLIPTokenizer.from_pretrained(sd / "tokenizer")

    def text_config(width: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=32, num_hidden_layers=3,
            num_attention_heads=2, projection_dim=12, bos_token_id=len(tokenizer) - 2, eos_token_id=len(tokenizer) - 1,
        )  # fmt: skip

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16 + 24,
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
        vae=AutoencoderKL.from_pretrained(sd / "vae"),
        text_encoder=CLIPTextModel(text_config(16)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(24)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler.from_pretrained(sd / "scheduler"),
        force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
    ).save_pretrained(folder)
    return folder


def tiny_lora(path: Path) -> torch.Tensor:
    """A LoRA file for the layer LORA. Returns what it adds to its weight at a scale of 1."""
    generator = torch.Generator().manual_seed(0)
    up, down = (torch.randn(shape, generator=generator) * 0.2 for shape in ((32, 2), (2, 32)))
    save_file({f"unet.{LORA}.lora_A.weight": down, f"unet.{LORA}.lora_B.weight": up}, path)
    return up @ down


def tiny_single_file(path: Path, folder: Path) -> Path:
    """What tiny_stable_diffusion made, as one file with the names that community checkpoints have."""
    save_file(_original_layout(folder), path)
    return path


def _original_layout(folder: Path) -> dict[str, torch.Tensor]:
    """Of two levels with one layer a block."""
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
        tensors[f"first_stage_model.{_original_vae_name(key)}"] = tensor
    for key, tensor in load_file(folder / "text_encoder" / "model.safetensors").items():
        key = key if key.startswith("text_model.") else f"text_model.{key}"
        tensors[f"cond_stage_model.transformer.{key}"] = tensor
    return tensors


def _original_vae_name(key: str, levels: int = 3) -> str:
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
