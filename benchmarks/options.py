"""Each optional way to compute, on Emoji World, against none, in turn in one run: what it gains and what it costs.

    python benchmarks/options.py [--quick] [--options ...] [--pixels 32 64 128] [--videos 2] [--json FILE]

Gain: seconds of CPU of a step, all threads together; the first step, with what is compiled for it, by itself. Loss: the
tuning loss, how far edits are from those without the option (PSNR), and whether they are as right (edit_quality.py).
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edit_quality import JUDGE, KINDS, NUM_FRAMES, Variant, edit, figures_of, make_videos, prepare

from emoji_world.judge import load_judge, read
from emoji_world.world import caption
from tav import params as parameters
from tav.metrics.formulas import psnr
from tav.model.denoiser import predict_noise
from tav.model.inflation import inflate
from tav.model.latents import Moments
from tav.model.options.compilation import compile_blocks
from tav.model.options.token_merging import merge_tokens
from tav.model.options.xformers_attention import use_xformers
from tav.model.pretrained import load_pipeline
from tav.model.prompts import Prompts, encode_prompts
from tav.model.tuning import TuneSettings, tune

OPTIONS: dict[str, Callable[[Any], str | None]] = {
    "none": lambda unet: None,
    "xformers": lambda unet: use_xformers(unet, torch.float32),
    "merging 0.25": lambda unet: merge_tokens(unet, 0.25),
    "merging 0.5": lambda unet: merge_tokens(unet, 0.5),
    "compile": compile_blocks,
}
"""What sets each; a text says why it can't be."""
UNTUNED = Variant("untuned", tuned=False)


def cpu_seconds() -> float:
    """Of this process and of the compilers that it ran."""
    return time.process_time() + sum(os.times()[2:4])


def timed(step: Callable[[], object]) -> float:
    began = cpu_seconds()
    step()
    return cpu_seconds() - began


def make_step(kind: str, unet: Any, scheduler: Any, side: int) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    prompts = 2 if kind == "guided" else 1
    latents = torch.randn(prompts * NUM_FRAMES, unet.config.in_channels, side, side, generator=generator)
    embeds = torch.randn(prompts, 77, unet.config.cross_attention_dim, generator=generator)
    if kind == "tuning":
        moments = Moments(latents, torch.zeros_like(latents))
        steps = tune(unet, scheduler, moments, Prompts(embeds), TuneSettings(learning_rate=1e-9))
        return lambda: next(steps)
    return torch.no_grad()(lambda: predict_noise(unet, latents, torch.tensor(501), embeds))


def gain(base: str, pixels: int, names: list[str], repeats: int) -> list[dict[str, Any]]:
    """Of each kind of step, each option's first step and the median of the others, which take turns."""
    table = []
    for kind in ("tuning", "inversion", "guided"):
        steps = {}
        for name in names:
            pipe = load_pipeline(base)
            OPTIONS[name](inflate(pipe.unet))
            steps[name] = make_step(kind, pipe.unet, pipe.scheduler, pixels // pipe.vae_scale_factor)
        first = {name: timed(step) for name, step in steps.items()}
        rounds = [{name: timed(step) for name, step in steps.items()} for _ in range(repeats)]
        median = {name: statistics.median(seconds[name] for seconds in rounds) for name in names}
        table.append({"step": kind, "pixels": pixels, "first": first, "seconds": median})
        row = (f"{name} {s:.3f} ({median['none'] / s:.2f}x, first {first[name]:.1f})" for name, s in median.items())
        print(f"{kind:>10} {pixels:4} px:  ", "   ".join(row), flush=True)
    return table


def loss(names: list[str], settings: parameters.Params, number: int, steps: int) -> dict[str, dict[str, float]]:
    """Of each option: mean loss of the second half of the tuning steps; of the edits, PSNR and what is right."""
    judge = load_judge(JUDGE)
    known = TuneSettings.__dataclass_fields__
    chosen = {name: value for name, value in settings.tune.model_dump().items() if name in known and value is not None}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for scenes, asked in make_videos(number):
        prompts, expected = [caption(asked[kind]) for kind in KINDS], None
        for name in names:
            pipe, moments = prepare(UNTUNED, settings, scenes)
            OPTIONS[name](pipe.unet)
            (source,) = encode_prompts(pipe, [caption(scenes[0])])
            tuning = tune(pipe.unet, pipe.scheduler, moments, source, TuneSettings(**{**chosen, "steps": steps}))
            losses = [step.loss for step in tuning]
            edits = list(edit(UNTUNED, settings, pipe, moments, scenes, prompts))
            expected = expected or edits
            right = {
                f"{kind} right": figures_of(kind, asked[kind], scenes, read(judge, frames))["right"]
                for kind, frames in zip(KINDS, edits, strict=True)
            }
            near = [psnr(a, b) for a, b in zip(edits, expected, strict=True)] if name != "none" else [float("nan")]
            results[name].append({"loss": float(np.mean(losses[steps // 2 :])), "psnr": float(np.mean(near)), **right})
    return {
        name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} for name, rows in results.items()
    }


def usable(base: str, asked: list[str]) -> list[str]:
    """Those of the options that can be had here."""
    names = []
    for name in asked:
        try:
            refusal = OPTIONS[name](inflate(load_pipeline(base, components=("unet",)).unet))
        except ValueError as error:
            refusal = str(error)
        if refusal is None:
            names.append(name)
        else:
            print(refusal, flush=True)
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="32 px, one video, five tuning steps: to see that it runs")
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS), help="besides none")
    parser.add_argument("--pixels", type=int, nargs="*", default=[32, 64, 128], metavar="N")
    parser.add_argument("--videos", type=int, default=2, metavar="N", help="tuned and edited with each option")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="steps measured; the median counts")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there too")
    asked = parser.parse_args()
    settings = parameters.load(asked.params)
    sizes, videos, steps = ([32], 1, 5) if asked.quick else (asked.pixels, asked.videos, settings.tune.steps)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"TORCHINDUCTOR_CACHE_DIR": folder, "TORCHINDUCTOR_COMPILE_THREADS": "1"}  # compile all of it
        names = usable(settings.base.place, list(dict.fromkeys(["none", *asked.options])))
        gains = [row for pixels in sizes for row in gain(settings.base.place, pixels, names, asked.repeats)]
        losses = loss(names, settings, videos, steps) if videos else {}
    for name, figures in losses.items():
        print(f"{name:>14}:  ", "  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    if asked.json:
        result = {"threads": torch.get_num_threads(), "gain": gains, "videos": videos, "loss": losses}
        asked.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
