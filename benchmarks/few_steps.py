"""Edits in fewer steps than the inversion's: what they keep, what they get right, and what fresh noise does.

    python benchmarks/few_steps.py [--videos 3] [--json FILE]

The seeded videos, edits and judge of edit_quality.py, with params.yaml's settings, each tuned once and inverted by DDIM
in 20 steps: plainly for strength 0.5, refined twice for strength 1 (docs/inversion.md). There is no distilled LoRA for
Emoji World: lcm and tcd are on the plain network.
"""

from typing import Any

from edit_quality import KINDS, VARIANTS, Figures, figures_of, prepare, summary
from over_videos import over_videos

from emoji_world.judge import Judge, read
from emoji_world.world import Scene, caption
from tav import params as parameters
from tav.from_params.sampling import invert_video, sample_edit
from tav.model.latents import decode
from tav.model.prompts import encode_prompts

EDITS: dict[str, tuple[int, dict[str, Any]]] = {
    **{f"strength 0.5, {steps} steps": (0, {"strength": 0.5, "steps": steps}) for steps in (10, 5, 3)},
    **{f"strength 1, {steps} steps": (2, {"strength": 1.0, "steps": steps}) for steps in (20, 10, 5)},
    "strength 1, 5 steps, tcd": (2, {"strength": 1.0, "steps": 5, "scheduler": "tcd"}),
    "strength 1, 5 steps, lcm": (2, {"strength": 1.0, "steps": 5, "scheduler": "lcm"}),
}
"""How often the inversion is refined, and what the edit sets of its own."""


def of_video(
    settings: parameters.Params, judge: Judge, scenes: list[Scene], asked: dict[str, Scene]
) -> dict[str, list[tuple[str, Figures]]]:
    """Of each way to edit: figures of each kind of edit."""
    pipe, moments = prepare(VARIANTS[0], settings, scenes)
    texts = [caption(asked[kind]) for kind in KINDS]
    source, negative, *targets = encode_prompts(pipe, [caption(scenes[0]), settings.edit.negative_prompt, *texts])
    inverted = {
        refine: invert_video(
            pipe, settings.invert.model_copy(update={"method": "ddim", "refine": refine}), moments.mean, source
        )
        for refine in {refine for refine, _ in EDITS.values()}
    }
    rows = {}
    for name, (refine, own) in EDITS.items():
        how, rows[name] = settings.edit.model_copy(update=own), []
        for kind, target in zip(KINDS, targets, strict=True):
            edited = decode(pipe.vae, sample_edit(pipe, how, inverted[refine], target, negative))
            rows[name].append((kind, figures_of(kind, asked[kind], scenes, read(judge, edited))))
    return rows


def table_of(videos: list[dict[str, list[tuple[str, Figures]]]]) -> dict[str, Figures]:
    return {name: summary([row for video in videos for row in video[name]]) for name in videos[0]}


def main() -> None:
    for name, row in over_videos(__doc__, of_video, table_of).items():
        print(f"{name:40}", *(f"{key} {value:.2f}" for key, value in row.items() if "std" not in key), sep="  ")


if __name__ == "__main__":
    main()
