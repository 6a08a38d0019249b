"""Where an edit changes a video: a plain prompt, a mask, words and Prompt-to-Prompt, side by side.

    python -m benchmarks.where [--videos 6] [--strength 1.0] [--refine 2] [--json FILE] [--sheets FOLDER]
    python -m benchmarks.where --demo artifacts   # two videos that the demo has tuned already

Fresh seeded videos of Emoji World. The object and the colour of each are edited: the subject alone shall change.
A judge reads whether that is right and moves as it did. The background is compared with the source's frames, further
than two pixels outside of the subject's true disc, in the frames as the model made them, before they are encoded.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.edit_quality import JUDGE, VARIANTS, figures_of, make_videos, prepare, write_sheet
from emoji_world.judge import Judge, load_judge, read
from emoji_world.render import render_video
from emoji_world.world import COLOURS, NOUNS, Scene, caption, move, sample_scene
from tav import params as parameters
from tav.artifacts import read_frames
from tav.from_params.base import open_base
from tav.from_params.sampling import Words, invert_video, sample_edit
from tav.metrics.formulas import psnr
from tav.model.ddim import Trajectory
from tav.model.latents import decode, encode_moments
from tav.model.masks import blend_frames, shape_mask
from tav.model.prompts import encode_prompts
from tav.params import Attention, Mask
from tav.stages.where import mask_of
from tav.video.masks import mask_pictures

KINDS = ("object", "colour")
SIDE = 32
GROW = 2
"""Pixels around a mask that may change too: an edited subject has another outline."""
CAP = 60.0
"""dB, of the mean over edits: where not a pixel is off it is infinite."""
Figures = dict[str, float]


@dataclass(frozen=True)
class Way:
    """How the place of an edit is told."""

    name: str
    mask: str | None = None
    """drawn: the subject's true disc. words: where the network sees its noun."""
    attention: bool = False
    blend: bool = False


WAYS = (
    Way("plain prompt"),
    Way("mask, drawn", mask="drawn"),
    Way("mask of words", mask="words"),
    Way("Prompt-to-Prompt", attention=True),
    Way("Prompt-to-Prompt, blend", attention=True, blend=True),
    Way("Prompt-to-Prompt, mask of words", attention=True, mask="words"),
)


@dataclass(frozen=True)
class Tuned:
    """A video, and what every way starts from."""

    scenes: list[Scene]
    pipe: Any
    inverted: Trajectory
    frames: np.ndarray
    disc: Tensor
    """f h w: 1 where the subject is."""
    seen: Tensor
    """f h w: the mask of its noun."""

    @property
    def caption(self) -> str:
        return caption(self.scenes[0])


DEMO = {"red-car": ("car", "road", "red", 6, "straight"), "yellow-cat": ("cat", "beach", "yellow", 3, "bounce")}
"""How the demo's square videos were drawn: noun, background, colour, seed, path. Of 24 frames every third is taken."""


def fresh(settings: parameters.Params, number: int) -> Iterator[tuple[Tuned, dict[str, Scene]]]:
    """Videos that are tuned here, and what is asked of each."""
    for scenes, asked in make_videos(number):
        pipe, _ = prepare(VARIANTS[0], settings, scenes)
        yield inverted(settings, scenes, pipe, render_video(scenes)), asked


def of_demo(settings: parameters.Params, artifacts: Path) -> Iterator[tuple[Tuned, dict[str, Scene]]]:
    """The same of the demo's own, tuned by its stages."""
    rng = np.random.default_rng(0)
    for key, (noun, background, colour, seed, path) in DEMO.items():
        looks = {"noun": noun, "background": background, "style": "plain", "colour": colour}
        scene = sample_scene(np.random.default_rng(seed), **looks)
        asked = {
            "object": replace(scene, noun=str(rng.choice([n for n in NOUNS if n != noun])), colour=None),
            "colour": replace(scene, colour=str(rng.choice([c for c in COLOURS if c != colour]))),
        }
        pipe = open_base(settings, tuned=artifacts / "tune" / key / "weights.safetensors")
        frames = read_frames(artifacts / "extract" / key / "frames")
        yield inverted(settings, move(scene, path, 24)[::3], pipe, frames), asked


def inverted(settings: parameters.Params, scenes: list[Scene], pipe: Any, frames: np.ndarray) -> Tuned:
    pipe.unet.requires_grad_(False)
    said = caption(scenes[0])
    (source,) = encode_prompts(pipe, [said])
    trajectory = invert_video(pipe, settings.invert, encode_moments(pipe.vae, frames).mean, source)
    seen = mask_of(Mask(words=(scenes[0].noun,)), {"size": (SIDE, SIDE)}, frames, pipe, trajectory, said)
    return Tuned(scenes, pipe, trajectory, frames, disc_of(scenes), seen)


def disc_of(scenes: list[Scene]) -> Tensor:
    """Where the subject is: float32, f h w, of 0 and 1."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    inside = [(x - scene.x) ** 2 + (y - scene.y) ** 2 <= (scene.size / 2) ** 2 for scene in scenes]
    return torch.from_numpy(np.stack(inside)).float()


def edit(way: Way, settings: parameters.Params, video: Tuned, kind: str, asked: Scene) -> np.ndarray:
    """The edited frames: uint8 (f h w 3)."""
    pipe, prompt = video.pipe, caption(asked)
    source, target, negative = encode_prompts(pipe, [video.caption, prompt, settings.edit.negative_prompt])
    words = (video.scenes[0].noun, asked.noun) if kind == "object" else (asked.noun,)
    attention = Attention(blend=words if way.blend else ()) if way.attention else None
    masks = {"drawn": video.disc, "words": video.seen}
    mask = shape_mask(masks[way.mask], grow=GROW) if way.mask else None
    latents = sample_edit(
        pipe,
        settings.edit.model_copy(update={"attention": attention}),
        video.inverted,
        target,
        negative,
        words=Words(video.caption, prompt, source),
        mask=mask,
    )
    frames = decode(pipe.vae, latents)
    return frames if mask is None else blend_frames(video.frames, frames, mask)


def measure(kind: str, asked: Scene, video: Tuned, frames: np.ndarray, judge: Judge) -> Figures:
    outside = shape_mask(video.disc, grow=GROW).numpy() == 0
    figures = figures_of(kind, asked, video.scenes, read(judge, frames))
    return figures | {"background": min(CAP, psnr(frames[outside], video.frames[outside]))}


def overlap(a: Tensor, b: Tensor) -> float:
    """Intersection over union, the mean over frames."""
    return float((torch.minimum(a, b).sum((1, 2)) / torch.maximum(a, b).sum((1, 2))).mean())


def run(
    videos: Iterator[tuple[Tuned, dict[str, Scene]]], settings: parameters.Params, judge: Judge, sheets: Path | None
) -> Iterator[tuple[dict[str, list[Any]], list[float]]]:
    """After each video: (kind, figures) of each way's edits so far, and how well the words' masks fit."""
    results: dict[str, list[Any]] = {way.name: [] for way in WAYS}
    fits = []
    for i, (video, asked) in enumerate(videos):
        fits.append(overlap(video.seen, video.disc))
        for kind in KINDS:
            made = [edit(way, settings, video, kind, asked[kind]) for way in WAYS]
            for way, frames in zip(WAYS, made, strict=True):
                results[way.name].append((kind, measure(kind, asked[kind], video, frames, judge)))
            if sheets:
                rows = [video.frames, mask_pictures(video.seen.numpy()), *made]
                labels = [
                    video.caption,
                    f"mask: {video.scenes[0].noun}",
                    *(f"{w.name}: {caption(asked[kind])}" for w in WAYS),
                ]
                write_sheet(sheets / f"{i}-{kind}.png", rows, labels)
        yield results, fits


def summary(results: list[Any]) -> Figures:
    """Means over edits, with the standard deviation over edits as the spread."""
    table = {}
    for kind in KINDS:
        right = [figures["right"] for k, figures in results if k == kind]
        table[kind], table[f"{kind}, std"] = float(np.mean(right)), float(np.std(right))
    for name in ("motion", "distance", "background"):
        values = [figures[name] for _, figures in results]
        table[name], table[f"{name}, std"] = float(np.mean(values)), float(np.std(values))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--strength", type=float, default=1.0, help="1.0 as in the paper")
    parser.add_argument("--refine", type=int, default=2, help="invert.refine")
    parser.add_argument("--demo", type=Path, help="a folder of artifacts: the demo's videos in place of fresh ones")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheets", type=Path, help="a folder for contact sheets")
    asked = parser.parse_args()
    data = parameters.read_yaml(asked.params)
    data["edit"]["strength"] = asked.strength
    data["invert"] |= {"method": "ddim", "refine": asked.refine}
    settings, judge = parameters.check(data), load_judge(JUDGE)
    videos = of_demo(settings, asked.demo) if asked.demo else fresh(settings, asked.videos)
    for results, fits in run(videos, settings, judge, asked.sheets):
        table = {name: summary(edits) for name, edits in results.items()}
        print(f"{len(fits)} videos, words' masks fit the disc by {np.mean(fits):.2f}", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps({"videos": len(fits), "overlap": fits, "table": table}, indent=2) + "\n")
        for name, figures in table.items():
            cells = (
                f"{key} {value:.2f} ({figures[f'{key}, std']:.2f})"
                for key, value in figures.items()
                if "std" not in key
            )
            print(f"{name:34}", *cells, sep="  ", flush=True)


if __name__ == "__main__":
    main()
