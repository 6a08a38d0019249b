"""DDIM, refined DDIM and edit-friendly inversion: how well the source comes back, what edits keep and what they change.

    python benchmarks/inversions.py [--videos 12] [--json FILE]

The seeded videos, edits and judge of edit_quality.py, with params.yaml's settings, each tuned once; every inversion, at
strength 0.5 and 1. It prints the table of docs/inversion.md: shares that are right, in brackets the standard deviation
over the videos.
"""

from typing import Any

import numpy as np
from edit_quality import KINDS, VARIANTS, Figures, figures_of, prepare, summary
from over_videos import over_videos

from emoji_world.judge import Judge, read
from emoji_world.render import render_video
from emoji_world.world import Scene, caption
from tav import params as parameters
from tav.from_params.sampling import invert_video, sample_edit
from tav.metrics.formulas import psnr
from tav.model.latents import decode
from tav.model.prompts import encode_prompts

INVERSIONS: dict[str, dict[str, Any]] = {
    "ddim": {"method": "ddim"},
    "ddim, refine 1": {"method": "ddim", "refine": 1},
    "ddim, refine 2": {"method": "ddim", "refine": 2},
    "edit_friendly": {"method": "edit_friendly"},
}
STRENGTHS = (0.5, 1.0)


def of_video(
    settings: parameters.Params, judge: Judge, scenes: list[Scene], asked: dict[str, Scene]
) -> dict[str, list[tuple[str, Figures]]]:
    """Of each inversion and strength: figures of each kind of edit, and of the source sampled back."""
    pipe, moments = prepare(VARIANTS[0], settings, scenes)
    frames, texts = render_video(scenes), [caption(asked[kind]) for kind in KINDS]
    source, negative, *targets = encode_prompts(pipe, [caption(scenes[0]), settings.edit.negative_prompt, *texts])
    vae = psnr(decode(pipe.vae, moments.mean), frames)
    rows = {}
    for name, own in INVERSIONS.items():
        inverted = invert_video(pipe, settings.invert.model_copy(update=own), moments.mean, source)
        for strength in STRENGTHS:
            how = settings.edit.model_copy(update={"strength": strength})
            unguided = how.model_copy(update={"guidance_scale": 1.0})
            back = psnr(decode(pipe.vae, sample_edit(pipe, unguided, inverted, source, negative)), frames)
            spread = inverted.at(inverted.steps).std().item()
            row = [("source", {"psnr": back, "vae psnr": vae, "std": spread})]
            for kind, target in zip(KINDS, targets, strict=True):
                edited = decode(pipe.vae, sample_edit(pipe, how, inverted, target, negative))
                row.append((kind, figures_of(kind, asked[kind], scenes, read(judge, edited))))
            rows[f"strength {strength}, {name}"] = row
    return rows


def table_of(videos: list[dict[str, list[tuple[str, Figures]]]]) -> dict[str, Figures]:
    """Means over the videos with their spread (std over videos), motion also as a mean."""
    table = {}
    for name in videos[0]:
        rows = [row for video in videos for row in video[name]]
        edits, sources = ([f for f in rows if (f[0] == "source") == is_source] for is_source in (False, True))
        back = {key: float(np.mean([figures[key] for _, figures in sources])) for key in sources[0][1]}
        spread = float(np.std([figures["psnr"] for _, figures in sources]))
        mean = float(np.mean([figures["motion"] for _, figures in edits]))
        table[name] = summary(edits) | {"motion, mean": mean} | back | {"psnr, std": spread}
    return table


def markdown(table: dict[str, Figures]) -> str:
    """The table of docs/inversion.md."""
    heads = ["strength, inversion", "source back, dB", *KINDS, "motion, median; mean", "hue spread"]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " --- |" * (len(heads) - 1)]
    for name, row in table.items():
        right = [f"{row[f'{kind} right']:.2f} ({row[f'{kind} right, std']:.2f})" for kind in KINDS]
        back = f"{row['psnr']:.1f} ({row['psnr, std']:.1f})"
        motion = f"{row['motion']:.2f}; {row['motion, mean']:.2f} ({row['motion, std']:.2f})"
        hue = f"{row['hue spread']:.0f} ({row['hue spread, std']:.0f})"
        lines.append(f"| {' | '.join([name.removeprefix('strength '), back, *right, motion, hue])} |")
    return "\n".join(lines)


def main() -> None:
    print(markdown(over_videos(__doc__, of_video, table_of)))


if __name__ == "__main__":
    main()
