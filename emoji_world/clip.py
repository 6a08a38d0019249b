"""Train Emoji World's CLIP: `python -m emoji_world.clip models/emoji-world`.

Radford et al. 2021, but a caption may be true of several pictures of the batch ("a cat"), and all
of these are its targets. Heads that name noun, background and style help the vision tower to
learn shapes; they are thrown away.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from emoji_world.architecture import save_transformer
from emoji_world.features import worn
from emoji_world.loop import fit
from emoji_world.samples import draw, token_ids, tokenizer_of, training_scenes
from emoji_world.settings import load_settings
from emoji_world.tokenizer import MAX_LENGTH
from emoji_world.world import BACKGROUNDS, COLOURS, NOUNS, STYLES, Scene, caption

MEAN, STD = [0.38] * 3, [0.29] * 3  # of the renders, in [0, 1]
TOWER = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "hidden_act": "gelu"}
UNSAID = -1
KINDS = (list(NOUNS), list(BACKGROUNDS), list(STYLES))


class Student(nn.Module):
    """CLIP and the heads that it loses after training."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        text = {"vocab_size": vocabulary, "max_position_embeddings": MAX_LENGTH, "num_hidden_layers": 3, **TOWER}
        text |= {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
        vision = {"image_size": 32, "patch_size": 4, "num_hidden_layers": 4, **TOWER}
        self.clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))
        self.heads = nn.Linear(128, sum(len(kind) for kind in KINDS))


def partial_captions(scenes: list[Scene], rng: np.random.Generator) -> tuple[list[str], NDArray[np.int64]]:
    """Captions, a third of which say only a part, and what they say: (b 4) numbers, UNSAID where nothing."""
    words, said = [], []
    for scene in scenes:
        noun, background, style = (names.index(name) for names, name in zip(KINDS, _names(scene), strict=True))
        colour = list(COLOURS).index(scene.colour) if scene.colour else UNSAID
        match rng.random():
            case chance if chance < 0.2:
                text = caption(scene, 0).split(" of ")[-1]
                words.append(text.removesuffix(" " + BACKGROUNDS[scene.background]))
                said.append([noun, UNSAID, UNSAID, colour])
            case chance if chance < 0.33:
                words.append(BACKGROUNDS[scene.background])
                said.append([UNSAID, background, UNSAID, UNSAID])
            case _:
                words.append(caption(scene, rng))
                said.append([noun, background, style, colour])
    return words, np.array(said)


def classes_of(scenes: list[Scene]) -> Tensor:
    """int64 (b 3): numbers of noun, background and style."""
    return torch.tensor([[kind.index(n) for kind, n in zip(KINDS, _names(s), strict=True)] for s in scenes])


def heads_loss(heads: nn.Module, features: Tensor, classes: Tensor) -> Tensor:
    """Cross entropies of noun, background and style, read from features (b d)."""
    logits = torch.split(heads(features).float(), [len(kind) for kind in KINDS], dim=1)
    return sum((cross_entropy(part, classes[:, i]) for i, part in enumerate(logits)), torch.zeros(()))


def _names(scene: Scene) -> tuple[str, str, str]:
    return scene.noun, scene.background, scene.style


def truths(scenes: list[Scene], said: NDArray[np.int64]) -> Tensor:
    """float32 (pictures captions): 1 where a caption is true of a picture."""
    classes = classes_of(scenes).numpy()
    true = (said[None, :, :3] == UNSAID) | (classes[:, None] == said[None, :, :3])
    hues = np.array([scene.hue for scene in scenes])[:, None]
    named = np.array([*COLOURS.values(), 0])[said[:, 3]][None]
    near = np.abs((hues - named + 180) % 360 - 180) <= 10
    return torch.from_numpy(true.all(-1) & (near | (said[None, :, 3] == UNSAID))).float()


def clip_loss(student: Student, pixel_values: Tensor, ids: Tensor, true: Tensor, classes: Tensor) -> Tensor:
    """Contrastive loss both ways over all true pairs, and the heads' cross entropies."""
    seen = student.clip.vision_model(pixel_values).pooler_output
    read = student.clip.text_model(ids).pooler_output
    image = normalize(student.clip.visual_projection(seen), dim=-1)
    text = normalize(student.clip.text_projection(read), dim=-1)
    logits = (student.clip.logit_scale.exp().clamp(max=100) * image @ text.T).float()
    pairs = cross_entropy(logits, true / true.sum(1, keepdim=True))
    pairs = pairs + cross_entropy(logits.T, true.T / true.T.sum(1, keepdim=True))
    return pairs + heads_loss(student.heads, seen, classes)


def normalized(pixel_values: Tensor) -> Tensor:
    """[-1, 1] -> what the image processor gives."""
    return (pixel_values / 2 + 0.5 - MEAN[0]) / STD[0]


def main(folder: Path) -> None:
    settings = load_settings(folder).clip
    torch.manual_seed(settings.seed)
    rng, tokenizer = np.random.default_rng(settings.seed), str(folder / "stable-diffusion" / "tokenizer")
    student = Student(len(tokenizer_of(tokenizer)))

    def next_loss() -> Tensor:
        scenes = training_scenes(rng, settings.batch_size)
        words, said = partial_captions(scenes, rng)
        classes = classes_of(scenes)
        pixel_values = normalized(worn(draw(scenes)))
        return clip_loss(student, pixel_values, token_ids(tokenizer, words), truths(scenes, said), classes)

    fit(student, next_loss, settings, folder / ".checkpoints" / "clip.pt")
    save_transformer(student.clip, folder / "clip")
    size = {"height": 32, "width": 32}
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size, image_mean=MEAN, image_std=STD)
    CLIPProcessor(images, tokenizer_of(tokenizer)).save_pretrained(folder / "clip")
    for name in ("vocab.json", "merges.txt"):
        (folder / "clip" / name).write_bytes((Path(tokenizer) / name).read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
