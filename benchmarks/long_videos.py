"""A network tuned on 8 frames edits longer videos, at once and in windows: what is right, moves, and keeps its hue.

    python benchmarks/long_videos.py --json FILE [--videos 2] [--frames 8 16 32 64]
    python benchmarks/long_videos.py --json FILE [--videos 2] --frames 32 --everywhere
    python benchmarks/long_videos.py --json FILE --videos 1 --frames 240 --edits object
    python benchmarks/long_videos.py --cost [--frames 24 64 240]

It goes on from FILE: what stands there already is not done again. The three take about 8, 2 and 12 CPU-minutes a video.
With `--everywhere` the tuning sees 8 frames of the whole path in each step (tune.windows: all), and not the first 8.

The seeded videos of edit_quality.py, each tuned once on 8 frames of its path, and the same path in more frames, with
params.yaml's settings: an edit of the object and one of the colour. Windows have 24 frames, of which 8 overlap, in the
inversion and in the edits. Seams are where a window begins or ends: there the hue's step to the next frame is told by
itself. `--cost` takes one step of an inversion of each length, with the latents on disk, and tells seconds of CPU and
what the process holds of its own at most (RssAnon), without what is mapped from files.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from edit_quality import JUDGE, VARIANTS, Figures, circular_spread, figures_of, make_videos, prepare

from emoji_world.judge import Judge, Reading, load_judge, read
from emoji_world.render import render_video
from emoji_world.world import PATHS, caption, move
from tav import params as parameters
from tav.artifacts import room_on_disk
from tav.from_params.sampling import invert_video, sample_edit
from tav.model.inflation import inflate
from tav.model.latents import decode, encode_moments
from tav.model.pretrained import load_pipeline
from tav.model.prompts import encode_prompts
from tav.model.windows import windows_of
from tav.params import Window

WINDOW = Window(frames=24, overlap=8)
EDITS = ("object", "colour")


class Way(NamedTuple):
    """How a video is edited."""

    frames: int
    windows: bool
    everywhere: bool
    """Whether the tuning saw frames of the whole path."""

    def __str__(self) -> str:
        how = "windows" if self.windows else "at once"
        return f"{self.frames} frames, {how}{', tuned on all' * self.everywhere}"


def of_video(
    settings: parameters.Params, judge: Judge, number: int, ways: list[Way], kinds: Sequence[str]
) -> Iterator[list[dict[str, Any]]]:
    """Of each way: figures of each kind of edit. All of them have the same `everywhere`, and then the same frames."""
    short, asked = make_videos(number + 1)[number]
    whole = replace(asked["background"], background=short[0].background)  # the scene before it was moved
    path, everywhere = PATHS[number % len(PATHS)], ways[0].everywhere
    seen_frames = move(whole, path, ways[0].frames) if everywhere else short
    pipe, _ = prepare(VARIANTS[0], settings, seen_frames, window_frames=len(short), windows="all")
    texts = [caption(asked[kind]) for kind in kinds]
    source, negative, *targets = encode_prompts(pipe, [caption(short[0]), settings.edit.negative_prompt, *texts])
    for way in ways:
        scenes = move(whole, path, way.frames)
        latents = encode_moments(pipe.vae, render_video(scenes)).mean
        window = WINDOW if way.windows else None
        invert = settings.invert.model_copy(update={"window": window})
        how = settings.edit.model_copy(update={"window": window})
        rows = []
        with tempfile.TemporaryDirectory() as folder, room_on_disk(Path(folder)) as room:
            inverted = invert_video(pipe, invert, latents, source, room=room)
            for kind, target in zip(kinds, targets, strict=True):
                seen = read(judge, decode(pipe.vae, sample_edit(pipe, how, inverted, target, negative)))
                facts = {"video": number, **way._asdict(), "kind": kind}
                rows.append(facts | figures_of(kind, asked[kind], scenes, seen) | hues_of(seen))
        yield rows


def hues_of(seen: Reading) -> Figures:
    """The spread of the hue over the video, and its mean step from frame to frame: at seams, and elsewhere."""
    hues = np.asarray(seen.hues)
    steps = np.abs((np.diff(hues) + 180) % 360 - 180)
    windows = windows_of(len(hues), WINDOW.frames, WINDOW.overlap)
    seams = {window.start - 1 for window in windows[1:]} | {window.stop - 1 for window in windows[:-1]}
    at = np.isin(np.arange(len(steps)), list(seams))
    told = {"hue spread": circular_spread(hues), "hue step": float(steps[~at].mean())}
    return told | ({"hue step at seams": float(steps[at].mean())} if at.any() else {})


def costs(settings: parameters.Params, frames: list[int]) -> Iterator[dict[str, Any]]:
    """Seconds and memory of a step of each length: first in windows, as memory that was once taken may stay."""
    pipe = load_pipeline(settings.base.source)
    inflate(pipe.unet)
    (source,) = encode_prompts(pipe, ["a red car on a road"])
    config, one = pipe.unet.config, settings.invert.model_copy(update={"num_inference_steps": 1})
    for window in (WINDOW, None):
        for length in frames:
            latents = torch.randn(length, config.in_channels, config.sample_size, config.sample_size)
            facts: dict[str, Any] = {"frames": length, "windows": window is not None}
            with tempfile.TemporaryDirectory() as folder, room_on_disk(Path(folder)) as room, measured(facts):
                invert_video(pipe, one.model_copy(update={"window": window}), latents, source, room=room)
            yield facts


@contextmanager
def measured(facts: dict[str, Any]) -> Iterator[None]:
    """Put the seconds of CPU and the memory of a block into `facts`."""
    peak, over = _own_memory(), threading.Event()

    def look() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, _own_memory())

    thread, began = threading.Thread(target=look), time.process_time()
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    facts |= {"seconds": time.process_time() - began, "MB": peak / 1e6}


def _own_memory() -> int:
    """Bytes that the process holds of its own, without what is mapped from files."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])


def table_of(rows: list[dict[str, Any]]) -> dict[str, Figures]:
    """Means over videos and edits."""
    table = {}
    for way in dict.fromkeys(map(way_of, rows)):
        alike = [row for row in rows if way_of(row) == way]
        names = [name for name in alike[0] if name not in ("video", "kind", *Way._fields)]
        means = {name: float(np.mean([row[name] for row in alike])) for name in names}
        table[str(way)] = means | {"edits": len(alike)}
    return table


def way_of(row: dict[str, Any]) -> Way:
    return Way(*(row[name] for name in Way._fields))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=2)
    parser.add_argument("--frames", type=int, nargs="*", default=[8, 16, 32, 64])
    parser.add_argument("--edits", nargs="*", default=EDITS, choices=EDITS)
    parser.add_argument("--everywhere", action="store_true", help="tune on frames of the whole path (one --frames)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too; goes on from there")
    parser.add_argument("--cost", action="store_true", help="seconds and memory of a step, and nothing else")
    asked = parser.parse_args()
    settings = parameters.load(asked.params)
    if asked.cost:
        for row in costs(settings, asked.frames):
            print(row, flush=True)
        return
    judge, rows = load_judge(JUDGE), []
    if asked.json and asked.json.exists():
        rows = json.loads(asked.json.read_text())["rows"]
    ways = [
        Way(length, windows, asked.everywhere)
        for length in asked.frames
        for windows in (False, True)
        if not windows or (length > WINDOW.frames and not asked.everywhere)
    ]
    for number in range(asked.videos):
        done = {way_of(row) for row in rows if row["video"] == number}
        missing = [way for way in ways if way not in done]
        for found in of_video(settings, judge, number, missing, asked.edits) if missing else []:
            rows += found
            print(f"video {number}: {found[0]['frames']} frames", flush=True)
            if asked.json:
                asked.json.write_text(json.dumps({"rows": rows, "table": table_of(rows)}, indent=2) + "\n")
    for name, row in table_of(rows).items():
        print(f"{name:32}", *(f"{key} {value:.2f}" for key, value in row.items()), sep="  ")


if __name__ == "__main__":
    main()
