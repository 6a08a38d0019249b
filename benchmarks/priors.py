"""What a prior keeps of the base: text-to-image accuracy of a network that was tuned on a video, with and without.

    python benchmarks/priors.py [--videos 3] [--json FILE]

The seeded videos of edit_quality.py, each tuned with params.yaml's settings: without a prior, with `prior_weight` 1,
with `prior_pictures` (24 that the base draws of the video's noun on its background, without its colour), and with
temporal attention in its other two places. The network then draws single frames of prompts that no video shows, from
noise; the judge reads noun, background and style. The base as it is inflated stands beside, and the right frames and
the motion of an edit of each kind: a prior must not cost the edit. About 8 CPU-minutes a video.
"""

from dataclasses import replace
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
from tav.model.latents import encode_moments
from tav.model.prior_pictures import PriorPictures, draw_pictures
from tav.model.prompts import encode_prompts

PROMPTS, STEPS, SEED = 32, 20, 5
DRAWN, GUIDANCE = 24, 3.0
WAYS: dict[str, dict[str, Any]] = {
    "untuned": {"steps": 0},
    "no prior": {},
    "prior_weight 1": {"prior_weight": 1.0},
    "prior_pictures": {"pictures_weight": 1.0},
    "temporal_after cross-attention": {"temporal_after": "cross-attention"},
    "temporal_after self-attention": {"temporal_after": "self-attention"},
}
"""What the tuning sets of its own."""


def of_video(
    settings: parameters.Params, judge: Judge, scenes: list[Scene], asked: dict[str, Scene]
) -> dict[str, Figures]:
    """Of each way."""
    rows = {}
    for name, own in WAYS.items():

        def pictures(pipe: Any) -> PriorPictures:
            return of_its_kind(pipe, scenes[0])

        pipe, moments = prepare(VARIANTS[0], settings, scenes, pictures if "pictures_weight" in own else None, **own)
        prompts = [caption(asked[kind]) for kind in KINDS]
        edits = edit(VARIANTS[0], settings, pipe, moments, scenes, prompts) if name != "untuned" else []
        right = [figures_of(k, asked[k], scenes, read(judge, e)) for k, e in zip(KINDS, edits, strict=False)]
        means = {figure: float(np.mean([found[figure] for found in right])) for figure in ("right", "motion") if right}
        rows[name] = drawn_right(pipe, judge) | {f"edits: {figure}": mean for figure, mean in means.items()}
    return rows


def of_its_kind(pipe: Any, scene: Scene) -> PriorPictures:
    """Pictures that the base draws of a scene's noun on its background."""
    kind = caption(replace(scene, colour=None))
    prompts, negative = encode_prompts(pipe, [kind, ""])
    config = pipe.unet.config
    shape = config.in_channels, config.sample_size, config.sample_size
    how = {"number": DRAWN, "steps": STEPS, "guidance_scale": GUIDANCE, "seed": SEED}
    return PriorPictures(encode_moments(pipe.vae, draw_pictures(pipe, prompts, negative, shape, **how)), prompts)


def drawn_right(pipe: Any, judge: Judge) -> Figures:
    """Share of pictures in which the judge sees the noun, background and style of the prompt."""
    scenes, _ = held_out(PROMPTS)
    set_num_frames(pipe.unet, 1)
    drawn = pipe(
        [caption(scene) for scene in scenes],
        guidance_scale=GUIDANCE,
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
        print(f"{name:32}", *(f"{key} {value:.2f}" for key, value in row.items()), sep="  ")


if __name__ == "__main__":
    main()
