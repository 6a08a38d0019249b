"""Are edits right, do they keep the motion, is the subject the same in all frames? And what does each part do?

    python benchmarks/edit_quality.py [--videos 12] [--variants default untuned ...] [--json FILE] [--sheets FOLDER]
    python benchmarks/edit_quality.py --strength 1 --inference-steps 50 --tuning-steps 300

Fresh seeded videos of Emoji World on all kinds of path, each with an edit of its object, background, colour and style,
with the settings of params.yaml, and the same without one part of the method at a time. A judge reads the frames.
A late start alone keeps the motion, so what the parts do is seen best at full strength, as in the paper (second line).
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import Attention

from emoji_world.judge import Judge, Reading, load_judge, read
from emoji_world.render import render_video
from emoji_world.world import BACKGROUNDS, COLOURS, NOTHING, NOUNS, PATHS, Scene, caption, move, sample_scene
from tav import params as parameters
from tav.from_params.sampling import invert_video
from tav.from_params.steps import start_of
from tav.model.ddim import Schedule, add_noise, ddim_sample
from tav.model.denoiser import Network, guided
from tav.model.inflation import SparseCausalAttention, VideoGroupNorm, inflate
from tav.model.latents import Moments, decode, encode_moments
from tav.model.pretrained import load_pipeline
from tav.model.prior_pictures import PriorPictures
from tav.model.prompts import encode_prompts, join
from tav.model.tuning import TuneSettings, tune

JUDGE = Path("models/emoji-world/judge")
NUM_FRAMES = 8
SEED = 77
KINDS = ("object", "background", "colour", "style")
Figures = dict[str, float]


@dataclass(frozen=True)
class Variant:
    """The method, or the method without a part of it."""

    name: str
    inflated: bool = True
    tuned: bool = True
    sparse_causal: bool = True
    temporal: bool = True
    video_norm: bool = True
    noise: str | None = None
    """None: inverted latents. "own": a noise for each frame; "shared": one for all. Pure at strength 1, else added."""


VARIANTS = (
    Variant("default"),
    Variant("untuned", tuned=False),
    Variant("untuned, norms of single frames", tuned=False, video_norm=False),
    Variant("no sparse-causal attention", sparse_causal=False),
    Variant("no temporal attention", temporal=False),
    Variant("each frame alone", inflated=False, tuned=False),
    Variant("no inversion: noise", noise="own"),
    Variant("no inversion: one noise for all frames", noise="shared"),
)


def make_videos(number: int) -> list[tuple[list[Scene], dict[str, Scene]]]:
    """Scenes of each video's frames, and what each kind of edit asks for (as a scene, for its caption)."""
    rng, videos = np.random.default_rng(SEED), []
    for i in range(number):
        scene = sample_scene(rng, style="plain", colour=str(rng.choice(list(COLOURS))))
        asked = {
            "object": replace(scene, noun=_other(rng, NOUNS, scene.noun), colour=None),
            "background": replace(scene, background=_other(rng, BACKGROUNDS, scene.background)),
            "colour": replace(scene, colour=_other(rng, COLOURS, str(scene.colour))),
            "style": replace(scene, style=str(rng.choice(["photo", "neon"]))),
        }
        videos.append((move(scene, PATHS[i % len(PATHS)], NUM_FRAMES), asked))
    return videos


def _other(rng: np.random.Generator, choices: Any, than: str) -> str:
    return str(rng.choice([choice for choice in choices if choice != than]))


def prepare(
    variant: Variant,
    settings: parameters.Params,
    scenes: list[Scene],
    pictures: Callable[[Any], PriorPictures] | None = None,
    **own: Any,
) -> tuple[Any, Moments]:
    """A pipeline whose UNet is inflated and tuned on the video, as the variant has it.

    pictures: makes, of the inflated pipeline, what the tuning goes on drawing right. own: over the tuning's settings.
    """
    pipe = load_pipeline(settings.base.source)
    moments = encode_moments(pipe.vae, render_video(scenes))
    if variant.inflated:
        inflate(pipe.unet, NUM_FRAMES, seed=settings.tune.seed)
    if not variant.sparse_causal:
        _see_own_frame(pipe.unet)
    if not variant.video_norm:
        _norm_own_frame(pipe.unet)
    if variant.tuned:
        # its output starts at zero and so stays there; at a rate of 0 `tune` would say that it is not tuned
        rates = {} if variant.temporal else {"temporal_learning_rate": 1e-9}
        known = TuneSettings.__dataclass_fields__
        chosen = {name: value for name, value in settings.tune.model_dump().items() if name in known}
        (source,) = encode_prompts(pipe, [caption(scenes[0])])
        shown = pictures(pipe) if pictures else None
        asked = TuneSettings(**{**chosen, **rates, **own})
        for _ in tune(pipe.unet, pipe.scheduler, moments, source, asked, pictures=shown):
            pass
    return pipe, moments


def _see_own_frame(unet: Any) -> None:
    for module in unet.modules():
        if isinstance(module, SparseCausalAttention):
            module.__class__, module.is_cross_attention = Attention, False


def _norm_own_frame(unet: Any) -> None:
    for module in unet.modules():
        if isinstance(module, VideoGroupNorm):
            module.__class__ = torch.nn.GroupNorm


def edit(
    variant: Variant, settings: parameters.Params, pipe: Any, moments: Moments, scenes: list[Scene], prompts: list[str]
) -> Iterator[np.ndarray]:
    """An edited video for each prompt: uint8 (f h w 3)."""
    prompt = caption(scenes[0]) if settings.invert.prompt is None else settings.invert.prompt
    source, negative, *targets = encode_prompts(pipe, [prompt, settings.edit.negative_prompt, *prompts])
    alone = 1 if variant.inflated else NUM_FRAMES  # an image UNet takes each frame for a video of one
    inverted = invert_video(pipe, settings.invert, moments.mean, join([source] * alone))
    schedule, _, latents, noises = start_of(settings.edit, pipe.scheduler, inverted)
    if variant.noise is not None:
        latents, noises = noise_in_place(variant, settings, moments, schedule), None
    for target in targets:
        prompts_of_frames, negatives = join([target] * alone), join([negative] * alone)
        denoise = guided(Network(pipe.unet), prompts_of_frames, negatives, settings.edit.guidance_scale)
        yield decode(pipe.vae, ddim_sample(denoise, schedule, latents, noises=noises))


def noise_in_place(variant: Variant, settings: parameters.Params, moments: Moments, schedule: Schedule) -> torch.Tensor:
    """Noise in the place of inverted latents, of which some is video where the strength is below 1."""
    frames = 1 if variant.noise == "shared" else NUM_FRAMES
    generator = torch.Generator().manual_seed(settings.edit.seed)
    noise = torch.randn(frames, *moments.mean.shape[1:], generator=generator).expand_as(moments.mean)
    return noise if settings.edit.strength == 1 else add_noise(moments.mean, noise, schedule.alphas[0])


def figures_of(kind: str, asked: Scene, source: list[Scene], seen: Reading) -> Figures:
    """What is right in one edited video, and how like the source it moves."""
    return {
        "right": float(np.mean(_right(kind, asked, seen))),
        "nothing": float(np.mean([noun == NOTHING for noun in seen.nouns])),
        **_motion(source, seen),
        **({"hue spread": circular_spread(seen.hues)} if kind in {"object", "background"} else {}),
    }


def _right(kind: str, asked: Scene, seen: Reading) -> np.ndarray:
    if kind == "colour":
        hues = np.array(list(COLOURS.values()))
        nearest = np.abs((seen.hues[:, None] - hues + 180) % 360 - 180).argmin(1)
        return np.array(list(COLOURS))[nearest] == asked.colour
    names = {"object": seen.nouns, "background": seen.backgrounds, "style": seen.styles}[kind]
    meant = {"object": asked.noun, "background": asked.background, "style": asked.style}[kind]
    return np.array(names) == meant


def _motion(source: list[Scene], seen: Reading) -> Figures:
    there = np.array([noun != NOTHING for noun in seen.nouns])
    path = np.array([[scene.x, scene.y] for scene in source])
    distance = np.linalg.norm(seen.places[:, :2] - path, axis=1)
    if there.sum() < 3:
        return {"motion": 0.0, "distance": float(distance.mean())}
    a, b = (points[there] - points[there].mean(0) for points in (path, seen.places[:, :2]))
    correlation = (a * b).sum() / max(1e-9, np.sqrt((a * a).sum() * (b * b).sum()))  # 0 if nothing moves
    return {"motion": float(correlation), "distance": float(distance[there].mean())}


def circular_spread(hues: np.ndarray) -> float:
    """Circular standard deviation in degrees (Mardia and Jupp 2000, equation 2.3.11)."""
    length = abs(np.exp(1j * np.deg2rad(hues)).mean())
    return float(np.rad2deg(np.sqrt(-2 * np.log(min(1.0, length + 1e-12)))))


def run(
    variants: list[Variant], settings: parameters.Params, number: int, judge: Judge, sheets: Path | None
) -> Iterator[dict[str, list[Any]]]:
    """After each video: of each variant, (kind, figures) of each edit so far. Variants share what they tune alike."""
    results: dict[str, list[Any]] = {variant.name: [] for variant in variants}
    for i, (scenes, asked) in enumerate(make_videos(number)):
        prompts = [caption(asked[kind]) for kind in KINDS]
        for _, alike in groupby(sorted(variants, key=_model), key=_model):
            group = list(alike)
            pipe, moments = prepare(group[0], settings, scenes)
            for variant in group:
                rows = list(edit(variant, settings, pipe, moments, scenes, prompts))
                for kind, frames in zip(KINDS, rows, strict=True):
                    figures = figures_of(kind, asked[kind], scenes, read(judge, frames))
                    results[variant.name].append((kind, figures))
                if sheets:
                    labels = [caption(scenes[0]), *prompts]
                    write_sheet(sheets / f"{variant.name}-{i}.png", [render_video(scenes), *rows], labels)
        yield results


def _model(variant: Variant) -> tuple[bool, ...]:
    return variant.inflated, variant.tuned, variant.sparse_causal, variant.temporal, variant.video_norm


def write_sheet(path: Path, rows: list[np.ndarray], labels: list[str]) -> None:
    from tav.video import write_contact_sheet

    path.parent.mkdir(parents=True, exist_ok=True)
    write_contact_sheet(path, [row.repeat(4, axis=1).repeat(4, axis=2) for row in rows], labels)


def summary(results: list[Any]) -> Figures:
    """Means over the edits of a kind with their spread (std over videos), medians where the bar is one."""
    table = {}
    for kind in KINDS:
        right = [figures["right"] for k, figures in results if k == kind]
        table[f"{kind} right"], table[f"{kind} right, std"] = float(np.mean(right)), float(np.std(right))
    for name in ("nothing", "motion", "distance"):
        values = [figures[name] for _, figures in results]
        table[name] = float(np.median(values) if name == "motion" else np.mean(values))
        table[f"{name}, std"] = float(np.std(values))
    hues = [figures["hue spread"] for kind, figures in results if kind == "object"]
    return table | {"hue spread": float(np.mean(hues)), "hue spread, std": float(np.std(hues))}


def _settings(asked: argparse.Namespace) -> parameters.Params:
    data = parameters.read_yaml(asked.params)
    given = {
        ("edit", "strength"): asked.strength,
        ("invert", "method"): asked.inversion,
        ("invert", "num_inference_steps"): asked.inference_steps,
        ("tune", "steps"): asked.tuning_steps,
    }
    for (section, name), value in given.items():
        if value is not None:
            data[section][name] = value
    return parameters.check(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--variants", nargs="*", default=[variant.name for variant in VARIANTS])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--strength", type=float, help="this and the next three: instead of what params.yaml says")
    parser.add_argument("--inversion", choices=["ddim", "edit_friendly"])
    parser.add_argument("--inference-steps", type=int)
    parser.add_argument("--tuning-steps", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheets", type=Path, help="a folder for contact sheets")
    asked = parser.parse_args()
    settings, judge = _settings(asked), load_judge(JUDGE)
    chosen = [variant for variant in VARIANTS if variant.name in asked.variants]
    for results in run(chosen, settings, asked.videos, judge, asked.sheets):
        table = {name: summary(edits) for name, edits in results.items()}
        done = len(results[chosen[0].name]) // len(KINDS)
        print(f"{done} of {asked.videos} videos", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps({"videos": done, "table": table}, indent=2) + "\n")
    for name, figures in table.items():
        print(f"{name:40}", *(f"{key} {value:.2f}" for key, value in figures.items() if "std" not in key), sep="  ")


if __name__ == "__main__":
    main()
