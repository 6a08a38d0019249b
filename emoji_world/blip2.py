"""Train Emoji World's BLIP-2: `python -m emoji_world.blip2 models/emoji-world`.

Its vision tower starts from CLIP's, as BLIP-2's does (Li et al. 2023), but all is trained at once:
vision tower, Q-Former and a small OPT. Heads that name noun, background and style help the first two
to learn shapes; without them captions were fluent and 71 % of the nouns wrong. It says the colour
where there is a word for it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    CLIPModel,
)

from emoji_world.architecture import save_transformer
from emoji_world.clip import KINDS, MEAN, STD, TOWER, classes_of, heads_loss, normalized
from emoji_world.features import worn
from emoji_world.loop import fit
from emoji_world.samples import draw, training_scenes
from emoji_world.settings import load_settings
from emoji_world.tokenizer import MAX_LENGTH, save_language_tokenizer
from emoji_world.world import COLOURS, Scene, caption

QUERIES = 8
IGNORED = -100
WIDTH = 128


def new_blip2(tokenizer) -> Blip2ForConditionalGeneration:  # type: ignore[no-untyped-def]
    vision = {"image_size": 32, "patch_size": 4, "num_hidden_layers": 4, **TOWER}
    qformer: dict[str, float] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 2 * WIDTH,
    }
    qformer |= {"cross_attention_frequency": 1, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    text = {
        "model_type": "opt",
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "word_embed_proj_dim": WIDTH,
        "ffn_dim": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 2 * MAX_LENGTH,
        "dropout": 0.0,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    image = tokenizer.convert_tokens_to_ids("<image>")
    return Blip2ForConditionalGeneration(
        Blip2Config(
            vision_config=vision,
            qformer_config={**qformer, "vocab_size": 1},
            text_config=text,
            num_query_tokens=QUERIES,
            image_token_index=image,
        )
    )


def copy_vision_tower(clip: CLIPModel, blip2: Blip2ForConditionalGeneration) -> None:
    """CLIP's vision tower into BLIP-2's, which has the same blocks but one projection for q, k and v."""
    source, target = clip.vision_model.state_dict(), {}
    target["embeddings.class_embedding"] = source["embeddings.class_embedding"][None, None]
    target["embeddings.patch_embedding.weight"] = source["embeddings.patch_embedding.weight"]
    target["embeddings.position_embedding"] = source["embeddings.position_embedding.weight"][None]
    for name, tensor in source.items():
        if name.startswith("encoder.") and "self_attn" not in name:
            target[name] = tensor
        elif name.endswith("out_proj.weight") or name.endswith("out_proj.bias"):
            target[name.replace("out_proj", "projection")] = tensor
        elif name.endswith("q_proj.weight") or name.endswith("q_proj.bias"):
            parts = [source[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            target[name.replace("q_proj", "qkv")] = torch.cat(parts)
    blip2.vision_model.load_state_dict(target, strict=False)


def described(scene: Scene) -> str:
    """The caption that BLIP-2 learns: always one template, and the colour if there is a word for it."""
    near = [name for name, hue in COLOURS.items() if abs((scene.hue - hue + 180) % 360 - 180) <= 12]
    return caption(replace(scene, colour=near[0] if near and scene.style == "plain" else None))


class Student(nn.Module):
    """BLIP-2 and the heads that it loses after training: of the vision tower and of the Q-Former."""

    def __init__(self, blip2: Blip2ForConditionalGeneration) -> None:
        super().__init__()
        self.blip2 = blip2
        classes = sum(len(kind) for kind in KINDS)
        self.heads = nn.ModuleList([nn.Linear(WIDTH, classes), nn.Linear(WIDTH, classes)])


def caption_loss(student: Student, tokenizer, pixel_values: Tensor, scenes: list[Scene]) -> Tensor:  # type: ignore[no-untyped-def]
    """Cross entropy of caption and end, after the picture's tokens and the start; and the heads'."""
    stop, image = tokenizer.eos_token, "<image>" * QUERIES
    texts = tokenizer(
        [f"{image}{stop}{text}{stop}" for text in map(described, scenes)], padding=True, return_tensors="pt"
    )
    labels = texts.input_ids.masked_fill(texts.attention_mask == 0, IGNORED)
    labels[:, : QUERIES + 1] = IGNORED
    output = student.blip2(pixel_values, texts.input_ids, attention_mask=texts.attention_mask, labels=labels)
    features = [output.vision_outputs.pooler_output, output.qformer_outputs.last_hidden_state.mean(1)]
    classes = classes_of(scenes)
    helped = [heads_loss(heads, seen, classes) for heads, seen in zip(student.heads, features, strict=True)]
    loss: Tensor = output.loss + 0.5 * sum(helped)
    return loss


def main(folder: Path) -> None:
    settings = load_settings(folder).blip2
    torch.manual_seed(settings.seed)
    rng, target = np.random.default_rng(settings.seed), folder / "blip2"
    save_language_tokenizer(target)
    tokenizer = AutoTokenizer.from_pretrained(target)
    images = BlipImageProcessor(size={"height": 32, "width": 32}, image_mean=MEAN, image_std=STD)
    processor = Blip2Processor(images, tokenizer, num_query_tokens=QUERIES)  # makes <image> one token
    blip2 = new_blip2(tokenizer)
    copy_vision_tower(CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32), blip2)

    student = Student(blip2)

    def next_loss() -> Tensor:
        scenes = training_scenes(rng, settings.batch_size)
        return caption_loss(student, tokenizer, normalized(worn(draw(scenes))), scenes)

    fit(student, next_loss, settings, folder / ".checkpoints" / "blip2.pt")
    save_transformer(blip2, target)
    processor.save_pretrained(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
