"""Tiny real models and videos for tests: diffusers', transformers' and PyAV's own classes, random weights.

Everything is written to a folder or file, as a user would have it. Heavy imports are in the functions.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

WORDS = ("a", "an", "the", "is", "on", "in", "of", "with", "man", "dog", "cat", "skiing", "running", "beach", "red")
START, END = "<|startoftext|>", "<|endoftext|>"


SD1_SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
"""DDIMScheduler's arguments, of Stable Diffusion 1."""


def tiny_unet(**layout: Any) -> "UNet2DConditionModel":
    """An image UNet with Stable Diffusion 1's kinds of block. layout: other arguments of diffusers' class."""
    from diffusers import UNet2DConditionModel

    arguments: dict[str, Any] = {
        "block_out_channels": (16, 32),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 24,
        "norm_num_groups": 8,
        "attention_head_dim": 2,
    }
    return UNet2DConditionModel(**(arguments | layout))


def tiny_stable_diffusion(
    folder: Path,
    *,
    prediction_type: str = "epsilon",
    seed: int = 0,
    linear_projection: bool = False,
    heads: int | tuple[int, ...] = 2,
    channels: tuple[int, ...] = (16, 32),
    vae_channels: tuple[int, ...] = (8, 8, 16),
    text_width: int = 32,
) -> Path:
    """A Stable Diffusion folder: VAE of factor 4, cross attention at every level; sizes are multiples of 8 pixels."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    torch.manual_seed(seed)
    levels, vae_levels = len(channels), len(vae_channels)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=heads,
        norm_num_groups=8,
        use_linear_projection=linear_projection,
    )
    vae = AutoencoderKL(
        block_out_channels=vae_channels,
        down_block_types=("DownEncoderBlock2D",) * vae_levels,
        up_block_types=("UpDecoderBlock2D",) * vae_levels,
        norm_num_groups=4,
        sample_size=64,
    )
    scheduler = DDIMScheduler(**SD1_SCHEDULE, prediction_type=prediction_type)
    components = {"unet": unet, "vae": vae, "scheduler": scheduler, "text_encoder": _text_encoder(text_width)}
    for name, component in components.items():
        component.save_pretrained(folder / name)
    _write_tokenizer(folder / "tokenizer")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def tiny_clip(folder: Path, *, seed: int = 0) -> Path:
    """A CLIPModel with its processor, for pictures of 32x32."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    width = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vocabulary = len(_vocabulary()[0])
    text = {"vocab_size": vocabulary, "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1}
    vision = {"image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=width | text, vision_config=width | vision, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    _write_tokenizer(folder)
    _write_image_processor(folder, "CLIPImageProcessor", 32)
    return folder


def tiny_blip2(folder: Path, *, seed: int = 0) -> Path:
    """A Blip2ForConditionalGeneration (OPT) with its processor; its captions are noise, but its classes are real."""
    import torch
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessorPil,
        PreTrainedTokenizerFast,
    )

    torch.manual_seed(seed)
    width = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_word_tokenizer(), **_SPECIAL)
    config = Blip2Config(
        vision_config=width | {"image_size": 32, "patch_size": 8},
        qformer_config=width | {"encoder_hidden_size": 32, "vocab_size": 64},
        text_config={
            "model_type": "opt",
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "ffn_dim": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "vocab_size": len(tokenizer) + 1,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 1,
        },
        num_query_tokens=4,
        image_token_index=len(tokenizer),
    )
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    images = BlipImageProcessorPil(size={"height": 32, "width": 32})
    Blip2Processor(images, tokenizer, num_query_tokens=4).save_pretrained(folder)
    return folder


def tiny_video(
    path: Path,
    *,
    width: int = 64,
    height: int = 48,
    fps: float | Fraction = 8,
    num_frames: int = 16,
    audio: bool = False,
    codec: str = "libx264",
    seed: int = 0,
) -> Path:
    """A video file of a square that moves to the right on a grey ramp; `audio` adds a 440 Hz tone as long as it."""
    import av

    frames = moving_square(num_frames, height, width, seed=seed)
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=48000) if audio else None
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
        if sound is not None:
            for chunk in _tone(float(num_frames / rate)):
                container.mux(sound.encode(chunk))
            container.mux(sound.encode())
    return path


def moving_square(num_frames: int, height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """uint8 (f h w 3): no two frames are equal."""
    rng = np.random.default_rng(seed)
    colour, side = rng.integers(64, 256, 3), max(2, min(height, width) // 3)
    ramp = np.linspace(20, 120, width).astype(np.uint8)
    frames = np.broadcast_to(ramp[None, None, :, None], (num_frames, height, width, 3)).copy()
    for index, frame in enumerate(frames):
        left = round(index * (width - side) / max(1, num_frames - 1))
        top = (height - side) // 2
        frame[top : top + side, left : left + side] = colour
    return frames


def _tone(seconds: float, rate: int = 48000, chunk: int = 1024):
    import av

    wave = np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate).astype(np.float32) * 0.2
    for start in range(0, len(wave), chunk):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + chunk], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, start
        yield frame


def _text_encoder(width: int):
    from transformers import CLIPTextConfig, CLIPTextModel

    vocabulary = len(_vocabulary()[0])
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    return CLIPTextModel(config)


def _vocabulary() -> tuple[dict[str, int], list[str]]:
    """CLIP's layout: 256 bytes, the same at a word's end, one token a merge, start and end of text."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    merges: dict[str, str] = {}
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        prefix = pieces[0]
        for piece in pieces[1:]:
            merges[f"{prefix} {piece}"] = prefix + piece
            prefix += piece
    tokens = letters + [letter + "</w>" for letter in letters] + list(dict.fromkeys(merges.values())) + [START, END]
    return {token: index for index, token in enumerate(tokens)}, list(merges)


def _write_tokenizer(folder: Path) -> None:
    vocabulary, merges = _vocabulary()
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "do_lower_case": True,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


_SPECIAL = {"pad_token": "<pad>", "bos_token": END, "eos_token": END, "unk_token": "<unk>"}


def _word_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {token: index for index, token in enumerate(["<pad>", END, "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def _write_image_processor(folder: Path, kind: str, size: int) -> None:
    config = {
        "image_processor_type": kind,
        "do_convert_rgb": True,
        "size": {"shortest_edge": size},
        "crop_size": {"height": size, "width": size},
        "resample": 3,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
