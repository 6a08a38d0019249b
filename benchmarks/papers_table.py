"""The papers' table on Emoji World: Tune-A-Video, its ablations and the baselines, on fresh seeded videos.

    python -m benchmarks.papers_table --videos 24 --out runs/papers.json --markdown docs/papers_table.md

Each video has an edit of its object, background, colour and style. All variants and methods are those of `tav ablate`,
with the settings of params.yaml. It goes on where it was stopped: what is finished is kept in --out, and the page is
written after each video (with --videos 0 from what is there). The shipped CLIP
measures frame consistency and textual alignment, optical flow the motion, and the judge what is to be seen.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.edit_quality import JUDGE, KINDS, NUM_FRAMES, figures_of, make_videos
from emoji_world.judge import Judge, load_judge, read
from emoji_world.render import render_video
from emoji_world.world import Scene, caption
from tav import params as parameters
from tav.commands.ablate import BASELINES, SDEDIT_STRENGTH, VARIANTS, Variant
from tav.from_params.sampling import sample_edit
from tav.metrics.clip import image_features, load_clip, text_features
from tav.metrics.comparison import mean_of
from tav.metrics.formulas import frame_consistency, motion_alignment, textual_alignment
from tav.model.baselines import Asked, edit_frames
from tav.model.ddim import Schedule, Trajectory, ddim_invert
from tav.model.denoiser import Network, prompted
from tav.model.inflation import inflate
from tav.model.latents import decode, encode_moments
from tav.model.pretrained import load_pipeline
from tav.model.prompts import encode_prompts
from tav.model.tuning import TuneSettings, tune
from tav.params import Edit, Params

ALL = (Variant("tune-a-video", "the method"), *VARIANTS, *BASELINES)
COLUMNS = {  # name of a figure -> heading, how it is written
    "frame_consistency": ("frame consistency", "{:.3f}"),
    "textual_alignment": ("textual alignment", "{:.2f}"),
    "motion_alignment": ("motion, px", "{:.2f}"),
    "right": ("edit right", "{:.2f}"),
    "motion": ("path kept", "{:.2f}"),
    "hue spread": ("hue spread, deg", "{:.1f}"),
}
"""right: share of frames in which the judge sees what was asked for. motion: correlation of the subject's path, as the
judge sees it, with the source's. hue spread: of one subject over the frames (object and background edits)."""
Row = dict[str, float]
Made = tuple[Any, Trajectory]
"""A tuned pipeline, and the video's inversion by it."""


def tuned_pipe(settings: Params, variant: Variant, frames: np.ndarray, prompt: str) -> Made:
    """A pipeline as a variant tunes it, and the video's inversion by it."""
    pipe = load_pipeline(settings.base.source)
    moments = encode_moments(pipe.vae, frames)
    inflate(pipe.unet, NUM_FRAMES, seed=settings.tune.seed)
    (source,) = encode_prompts(pipe, [prompt])
    chosen = {**settings.tune.model_dump(), **variant.tune}
    known = {name: value for name, value in chosen.items() if name in TuneSettings.__dataclass_fields__}
    for _ in tune(
        pipe.unet, pipe.scheduler, moments, source, TuneSettings(**{**known, "gradient_checkpointing": False})
    ):
        pass
    inversion = prompt if settings.invert.prompt is None else settings.invert.prompt
    (source,) = encode_prompts(pipe, [inversion])
    schedule = Schedule.of(pipe.scheduler, settings.invert.num_inference_steps)
    return pipe, ddim_invert(prompted(Network(pipe.unet), source), schedule, moments.mean)


def edited(
    settings: Params, variant: Variant, made: Made | None, frames: np.ndarray, texts: tuple[str, str]
) -> np.ndarray:
    """An edited video: uint8 (f h w 3). texts: caption and prompt."""
    changes = dict(variant.edit)
    if changes.get("method") == "per-frame-sdedit" and settings.edit.strength == 1:
        changes["strength"] = SDEDIT_STRENGTH
    edit = Edit.model_validate({**settings.edit.model_dump(by_alias=True), **changes})
    if edit.method == "tune-a-video" and made:
        pipe, inverted = made
        negative, target = encode_prompts(pipe, [edit.negative_prompt, texts[1]])
        return decode(pipe.vae, sample_edit(pipe, edit, inverted, target, negative))
    pipe = load_pipeline(settings.base.source)
    inversion = texts[0] if settings.invert.prompt is None else settings.invert.prompt
    steps = settings.invert.num_inference_steps
    asked = Asked(texts[1], edit.negative_prompt, inversion, steps, edit.strength, edit.guidance_scale, edit.seed)
    return edit_frames(edit.method, pipe, frames, asked)


class Video:
    """A seeded video with what is asked of it, and its tunings: each is made once for all variants that share it."""

    def __init__(self, settings: Params, scenes: list[Scene], asked: dict[str, Scene]) -> None:
        self.settings, self.scenes, self.asked = settings, scenes, asked
        self.frames, self.caption = render_video(scenes), caption(scenes[0])
        self.tunings: dict[str, Made] = {}

    def rows(self, variant: Variant, judge: Judge, clip: Any) -> Iterator[tuple[str, str, Row]]:
        """(variant, kind, figures) of each edit."""
        name, made = json.dumps(variant.tune), None
        if "method" not in variant.edit:
            if name not in self.tunings:
                self.tunings[name] = tuned_pipe(self.settings, variant, self.frames, self.caption)
            made = self.tunings[name]
        for kind in KINDS:
            prompt = caption(self.asked[kind])
            video = edited(self.settings, variant, made, self.frames, (self.caption, prompt))
            features, text = image_features(clip, video), text_features(clip, prompt)
            figures = {
                "frame_consistency": frame_consistency(features),
                "textual_alignment": textual_alignment(features, text, clip.model.logit_scale.item()),
                "motion_alignment": motion_alignment(video, self.frames),
                **figures_of(kind, self.asked[kind], self.scenes, read(judge, video)),
            }
            yield variant.name, kind, figures


def table(results: dict[str, list[Any]], kinds: tuple[str, ...] = KINDS) -> str:
    """Markdown: a row a variant, its means with bootstrap intervals over videos."""
    heads = ["videos", *(heading for heading, _ in COLUMNS.values())]
    lines = [f"| method | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for variant in ALL:
        made = [
            (v, row) for v, rows in results.items() for who, kind, row in rows if who == variant.name and kind in kinds
        ]
        if not made:
            continue
        cells = [str(len({video for video, _ in made}))]
        for name, (_, form) in COLUMNS.items():
            values = [(video, row[name]) for video, row in made if name in row]
            mean = mean_of(values) if values else None
            cells.append(f"{form} [{form}, {form}]".format(mean.mean, mean.low, mean.high) if mean else "")
        lines.append(f"| {variant.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def document(results: dict[str, list[Any]], settings: Params, names: set[str], command: str) -> str:
    """The page in docs/, which says how few videos it stands on: those that have all of the methods named."""
    number = sum(names <= {name for name, _, _ in rows} for rows in results.values())
    what = (
        f"{number} fresh seeded videos x {len(KINDS)} kinds of edit; strength {settings.edit.strength:g}, "
        f"{settings.invert.num_inference_steps} steps of inversion, {settings.tune.steps} of tuning, "
        f"guidance {settings.edit.guidance_scale:g}. Mean [95 % bootstrap interval over videos]."
    )
    few = "" if number >= 24 else f" Only {number} videos, of 24 that were planned: the intervals are wide."
    parts = [
        "# The papers' table, on Emoji World",
        f"Written by `{command}`. {what}{few}",
        table(results),
        "Object edits alone, the hardest kind:",
        table(results, ("object",)),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def write(asked: argparse.Namespace, results: dict[str, list[Any]], settings: Params) -> None:
    """The page, where one is asked for."""
    command = f"python -m benchmarks.papers_table --videos {asked.videos}"
    command += f" --strength {asked.strength:g}" if asked.strength else ""
    command += f" --only {' '.join(asked.only)}" if asked.only else ""
    if asked.markdown:
        names = set(asked.only or [variant.name for variant in ALL])
        asked.markdown.write_text(document(results, settings, names, command))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--strength", type=float, help="instead of what params.yaml says")
    parser.add_argument("--out", type=Path, required=True, help="a JSON, in which what is finished is kept")
    parser.add_argument("--only", nargs="*", help="methods, by name; default: all")
    parser.add_argument("--markdown", type=Path, help="where to write the table")
    asked = parser.parse_args()
    settings = parameters.load(asked.params)
    if asked.strength:
        edit = settings.edit.model_copy(update={"strength": asked.strength})
        settings = settings.model_copy(update={"edit": edit})
    judge, clip = load_judge(JUDGE), load_clip(settings.evaluate.clip)
    results = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    chosen = [variant for variant in ALL if not asked.only or variant.name in asked.only]
    for i, (scenes, wanted) in enumerate(make_videos(asked.videos)):
        video, rows = Video(settings, scenes, wanted), results.setdefault(str(i), [])
        for variant in chosen:
            if variant.name not in {name for name, _, _ in rows}:
                rows += video.rows(variant, judge, clip)
                asked.out.write_text(json.dumps(results) + "\n")
        print(f"{i + 1} of {asked.videos} videos", flush=True)
        write(asked, results, settings)
    print(table(results))
    write(asked, results, settings)


if __name__ == "__main__":
    main()
