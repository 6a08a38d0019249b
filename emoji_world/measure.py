"""How good Emoji World's models are: `python -m emoji_world.measure [--json FILE]`.

All on pictures that no model was trained on: scenes of another seed, backgrounds with other shades.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emoji_world.judge import load_judge, read
from emoji_world.render import render_scene
from emoji_world.world import BACKGROUNDS, NOUNS, Scene, caption, sample_scene

MODELS = Path("models/emoji-world")
SEED = 20_000
BATCH = 32
BARS = {
    "judge: noun": 0.97,
    "judge: background": 0.97,
    "judge: style": 0.97,
    "text to image: noun": 0.90,
    "text to image: background": 0.95,
    "text to image: style": 0.85,
    "clip zero-shot: noun": 0.95,
    "clip zero-shot: background": 0.95,
    "blip2 caption: noun": 0.90,
    "blip2 caption: background": 0.95,
    "vae reconstruction, dB": 28.0,
}
Frames = NDArray[np.uint8]


def held_out(number: int) -> tuple[list[Scene], Frames]:
    """Scenes and renders, uint8 (n 32 32 3)."""
    rng = np.random.default_rng(SEED)
    scenes = [sample_scene(rng) for _ in range(number)]
    return scenes, np.stack([render_scene(scene) for scene in scenes])


def rates_right(folder: Path, scenes: list[Scene], frames: Frames) -> dict[str, float]:
    """Share of frames in which the judge sees the noun, background and style of the scenes."""
    seen = read(load_judge(folder / "judge"), frames)
    pairs = {
        "noun": (seen.nouns, [scene.noun for scene in scenes]),
        "background": (seen.backgrounds, [scene.background for scene in scenes]),
        "style": (seen.styles, [scene.style for scene in scenes]),
    }
    return {name: float(np.mean(np.array(got) == np.array(meant))) for name, (got, meant) in pairs.items()}


def text_to_image(folder: Path, prompts: list[str], *, guidance_scale: float = 3.0, steps: int = 25) -> Frames:
    """A picture of each prompt from the stock pipeline: uint8 (n 32 32 3)."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder / "stable-diffusion", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    generator, pictures = torch.Generator().manual_seed(SEED), []
    for start in range(0, len(prompts), BATCH):
        settings = {"guidance_scale": guidance_scale, "num_inference_steps": steps, "generator": generator}
        pictures.append(pipe(prompts[start : start + BATCH], output_type="np", **settings).images)
    return (np.concatenate(pictures) * 255).round().astype(np.uint8)


@torch.no_grad()
def clip_rates(folder: Path, scenes: list[Scene], frames: Frames) -> dict[str, float]:
    """Zero-shot: share of renders that are nearest to "a cat" of all nouns, to "in space" of all backgrounds."""
    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(folder / "clip")
    texts = {
        "noun": [f"a {noun}".replace("a apple", "an apple") for noun in NOUNS],
        "background": list(BACKGROUNDS.values()),
    }
    rates = {}
    for kind, choices in texts.items():
        inputs = processor(text=choices, images=list(frames), padding=True, return_tensors="pt")
        best = model(**inputs).logits_per_image.argmax(1)
        names = list(NOUNS if kind == "noun" else BACKGROUNDS)
        rates[kind] = float(np.mean([names[i] == getattr(s, kind) for i, s in zip(best, scenes, strict=True)]))
    return rates


@torch.no_grad()
def blip2_rates(folder: Path, scenes: list[Scene], frames: Frames) -> dict[str, float]:
    """Share of captions that hold the noun, and the words for the background."""
    from transformers import Blip2ForConditionalGeneration, Blip2Processor

    model = Blip2ForConditionalGeneration.from_pretrained(folder / "blip2", dtype=torch.float32).eval()
    processor = Blip2Processor.from_pretrained(folder / "blip2")
    words: list[str] = []
    for start in range(0, len(frames), BATCH):
        inputs = processor(images=list(frames[start : start + BATCH]), return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=20, do_sample=False)
        words += processor.batch_decode(tokens, skip_special_tokens=True)
    pairs = list(zip(words, scenes, strict=True))
    return {
        "noun": float(np.mean([scene.noun in text.split() for text, scene in pairs])),
        "background": float(np.mean([BACKGROUNDS[scene.background] in text for text, scene in pairs])),
    }


@torch.no_grad()
def vae_psnr(folder: Path, frames: Frames) -> float:
    """Mean PSNR in dB of frames that went through the VAE (the posterior's mean)."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(folder / "stable-diffusion" / "vae", dtype=torch.float32)
    pixel_values = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    decoded = vae.decode(vae.encode(pixel_values).latent_dist.mean).sample.clamp(-1, 1)
    errors = ((decoded - pixel_values) / 2).square().mean((1, 2, 3))
    return float((-10 * errors.log10()).mean())


def measure(folder: Path, number: int = 256) -> dict[str, float]:
    """Every figure of the table."""
    scenes, frames = held_out(number)
    made = text_to_image(folder, [caption(scene) for scene in scenes])
    parts = {
        "judge": rates_right(folder, scenes, frames),
        "text to image": rates_right(folder, scenes, made),
        "clip zero-shot": clip_rates(folder, scenes, frames),
        "blip2 caption": blip2_rates(folder, scenes, frames),
    }
    figures = {f"{part}: {name}": rate for part, rates in parts.items() for name, rate in rates.items()}
    return figures | {"vae reconstruction, dB": vae_psnr(folder, frames)}


def main() -> None:
    """Print the table, and write it where --json says."""
    parser = argparse.ArgumentParser(description="Measure Emoji World's models on held-out scenes.")
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    parser.add_argument("--models", type=Path, default=MODELS, help="default: %(default)s")
    parser.add_argument("--number", type=int, default=256, help="pictures; default: %(default)s")
    asked = parser.parse_args()
    figures = measure(asked.models, asked.number)
    print(f"{'what':28} {'got':>7} {'aim':>7}   ({asked.number} pictures)")
    for name, figure in figures.items():
        print(f"{name:28} {figure:7.3f} {BARS[name]:7.2f}{'' if figure >= BARS[name] else '   missed'}")
    if asked.json:
        result: dict[str, Any] = {"number": asked.number, "seed": SEED, "figures": figures, "aims": BARS}
        asked.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
