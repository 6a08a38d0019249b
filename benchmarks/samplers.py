"""Cheaper sampling from inverted latents: DPM-Solver++ against DDIM, fewer steps, guidance in half of the steps.

    python benchmarks/samplers.py [--videos 12] [--json FILE]

The seeded videos of edit_quality.py, tuned with params.yaml's settings and inverted once, in 20 steps of DDIM. Samplers
start from the same inverted latents and take all, every second or every fourth of the inversion's timesteps.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from edit_quality import KINDS, VARIANTS, figures_of, prepare
from over_videos import over_videos
from torch import Tensor

from emoji_world.judge import Judge, read
from emoji_world.render import render_video
from emoji_world.world import Scene, caption
from tav import params as parameters
from tav.metrics.formulas import psnr
from tav.model.ddim import Schedule, ddim_invert, first_step
from tav.model.denoiser import Network, predict_noise, prompted
from tav.model.latents import decode
from tav.model.prompts import Prompts, encode_prompts, join

INVERSION_STEPS = 20
VAE = "the VAE alone"
Figures = dict[str, float]


@dataclass(frozen=True)
class Case:
    strength: float
    stride: int
    """Every n-th of the inversion's timesteps is taken."""
    order: int
    """1: DDIM, which DPM-Solver++ of order 1 is, step for step. 2: DPM-Solver++ 2M."""
    guided: tuple[float, float] = (0, 1)
    """The part of the steps that is guided (Kynkaanniemi et al. 2024); the others cost half."""

    @property
    def name(self) -> str:
        sampler = "DDIM" if self.order == 1 else "DPM-Solver++ 2M"
        part = "" if self.guided == (0, 1) else ", guided from {} to {}".format(*self.guided)
        return f"strength {self.strength}, 1 of {self.stride} steps, {sampler}{part}"

    def timesteps(self, levels: list[int]) -> list[int]:
        """levels: the inversion's, the largest first."""
        return levels[first_step(self.strength, len(levels)) :: self.stride]


CASES = [Case(*case) for case in product((0.5, 1.0), (1, 2, 4), (1, 2))]
CASES += [Case(*case) for case in product((0.5, 1.0), (1,), (1,), ((0, 0.5), (0.5, 1)))]


def timesteps_of(scheduler: Any, steps: int) -> list[int]:
    """DDIM's, the largest first."""
    return [int(timestep) for timestep in Schedule.of(scheduler, steps).timesteps]


def solver_of(scheduler: Any, timesteps: list[int], order: int) -> Any:
    """DPM-Solver++ at DDIM's timesteps (its own spacing differs by a step), ending at DDIM's last noise level."""
    solver = DPMSolverMultistepScheduler.from_config(
        scheduler.config, algorithm_type="dpmsolver++", solver_order=order, final_sigmas_type="sigma_min"
    )
    solver.set_timesteps(timesteps=timesteps)
    return solver


@torch.no_grad()
def sample(
    unet: Any,
    solver: Any,
    latents: Tensor,
    prompts: Prompts,
    negative: Prompts,
    guidance: float,
    guided: tuple[float, float] = (0, 1),
) -> Tensor:
    """latents f c h w, one prompt and one negative. Guidance 1 is none. guided: see Case."""
    steps = len(solver.timesteps)
    for step, timestep in enumerate(solver.timesteps):
        if guidance == 1 or not guided[0] <= step / steps < guided[1]:
            output = predict_noise(unet, latents, timestep, *prompts)
        else:
            both = predict_noise(unet, latents.repeat(2, 1, 1, 1), timestep, *join([negative, prompts]))
            away, towards = both.chunk(2)
            output = away + guidance * (towards - away)
        latents = solver.step(output, timestep, latents).prev_sample
    return latents


def of_video(
    settings: parameters.Params, judge: Judge, scenes: list[Scene], asked: dict[str, Scene]
) -> dict[str, Figures]:
    """Of each case: decibels of the source sampled back without guidance, and the judge's figures of each edit."""
    pipe, moments = prepare(VARIANTS[0], settings, scenes)
    texts = [caption(scenes[0]), settings.edit.negative_prompt, *(caption(asked[kind]) for kind in KINDS)]
    source_prompt, negative, *targets = encode_prompts(pipe, texts)
    whole = Schedule.of(pipe.scheduler, INVERSION_STEPS)
    trajectory = ddim_invert(prompted(Network(pipe.unet), source_prompt), whole, moments.mean)
    levels = timesteps_of(pipe.scheduler, INVERSION_STEPS)
    inverted = dict(zip(levels, trajectory.latents.flip(0), strict=False))  # and the clean latents, which have no level
    frames = render_video(scenes)
    figures: dict[str, Figures] = {VAE: {"psnr": psnr(decode(pipe.vae, moments.mean), frames)}}
    for case in CASES:
        timesteps = case.timesteps(levels)
        guidances = [1, *[settings.edit.guidance_scale] * len(KINDS)]
        source, *edits = (
            decode(
                pipe.vae,
                sample(
                    pipe.unet,
                    solver_of(pipe.scheduler, timesteps, case.order),
                    inverted[timesteps[0]],
                    text,
                    negative,
                    guidance,
                    case.guided,
                ),
            )
            for text, guidance in zip([source_prompt, *targets], guidances, strict=True)
        )
        row = {"steps": len(timesteps), "psnr": psnr(source, frames)}
        for kind, edited in zip(KINDS, edits, strict=True):
            seen = figures_of(kind, asked[kind], scenes, read(judge, edited))
            row |= {f"{kind} {name}": value for name, value in seen.items()}
        figures[case.name] = row
    return figures


def summary(videos: list[dict[str, Figures]]) -> dict[str, Figures]:
    """Means over the videos, with their spread (std); motion over all edits, as a median."""
    table = {}
    for name in videos[0]:
        of_case = [video[name] for video in videos]
        row = {}
        for key in ("steps", "psnr", *(f"{kind} right" for kind in KINDS), "object hue spread"):
            if key in of_case[0]:
                values = [figures[key] for figures in of_case]
                row |= {key: float(np.mean(values)), f"{key}, std": float(np.std(values))}
        if name != VAE:
            for key, mean in (("motion", np.median), ("nothing", np.mean)):
                row[key] = float(mean([figures[f"{kind} {key}"] for figures in of_case for kind in KINDS]))
        table[name] = row
    return table


def main() -> None:
    for name, row in over_videos(__doc__, of_video, summary).items():
        print(f"{name:46}", *(f"{key} {value:.2f}" for key, value in row.items() if "std" not in key), sep="  ")


if __name__ == "__main__":
    main()
