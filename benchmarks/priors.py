"""What a prior keeps of the base: text-to-image accuracy of a network that was tuned on a video, with and without.

    python benchmarks/priors.py [--videos 3] [--json FILE]

The seeded videos of edit_quality.py, each tuned with params.yaml's settings, at `tune.prior_weight` 0 and 1. The
network then draws single frames of prompts that no video shows, from noise; the judge reads noun, background and style.
The base as it is inflated stands beside, and the right frames of an edit of each kind: a prior must not cost the edit.
"""

from typing import Any

import numpy as np
import torch
from edit_quality import KINDS, VARIANTS, Figures, edit, figures_of, prepare
from over_videos import over_videos

from emoji_world.judge import Judge, read
from emoji_world.measure import held_out
from emoji_world.world import Scene, caption
from tav import params as parameters
from tav.model.inflation import set_num_frames

WEIGHTS = (0.0, 1.0)
PROMPTS, STEPS, SEED = 32, 20, 5


def of_video(
    settings: parameters.Params, judge: Judge, scenes: list[Scene], asked: dict[str, Scene]
) -> dict[str, Figures]:
    """Of the untuned network, and of that tuned with each weight."""
    rows = {}
    for weight in (None, *WEIGHTS):
        tuning = {"prior_weight": weight} if weight is not None else {"steps": 0}
        own = settings.model_copy(update={"tune": settings.tune.model_copy(update=tuning)})
        pipe, moments = prepare(VARIANTS[0], own, scenes)
        prompts = [caption(asked[kind]) for kind in KINDS]
        edits = list(edit(VARIANTS[0], own, pipe, moments, scenes, prompts)) if weight is not None else []
        right = [figures_of(k, asked[k], scenes, read(judge, e)) for k, e in zip(KINDS, edits, strict=False)]
        row = drawn_right(pipe, judge)
        if right:
            row |= {f"edits: {name}": float(np.mean([found[name] for found in right])) for name in ("right", "motion")}
        rows["untuned" if weight is None else f"prior_weight {weight}"] = row
    return rows


def drawn_right(pipe: Any, judge: Judge) -> Figures:
    """Share of pictures in which the judge sees the noun, background and style of the prompt."""
    scenes, _ = held_out(PROMPTS)
    set_num_frames(pipe.unet, 1)
    drawn = pipe(
        [caption(scene) for scene in scenes],
        guidance_scale=3.0,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(SEED),
        output_type="np",
    ).images
    seen = read(judge, (drawn * 255).round().astype(np.uint8))
    pairs = {"noun": seen.nouns, "background": seen.backgrounds, "style": seen.styles}
    return {
        name: float(np.mean([got == getattr(scene, name) for got, scene in zip(names, scenes, strict=True)]))
        for name, names in pairs.items()
    }


def table_of(videos: list[dict[str, Figures]]) -> dict[str, Figures]:
    """Means over the videos."""
    return {
        name: {key: float(np.mean([video[name][key] for video in videos])) for key in videos[0][name]}
        for name in videos[0]
    }


def main() -> None:
    for name, row in over_videos(__doc__, of_video, table_of).items():
        print(f"{name:20}", *(f"{key} {value:.2f}" for key, value in row.items()), sep="  ")


if __name__ == "__main__":
    main()
