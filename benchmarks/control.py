"""Do edits keep to the edges that a control gives them, and what does that do for motion, object and colour?

    python benchmarks/control.py [--adapter tmp/control/t2i-adapter] [--videos 4]

Trains the networks first where they are not there (emoji_world/control.py, minutes). Then each video of
benchmarks/edit_quality.py, tuned as params.yaml says, is edited at strength 1.0, from its inversion and from noise,
without and with control. A judge reads the frames; edges are compared with those that were given (F1 within a pixel).
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edit_quality import JUDGE, KINDS, Variant, figures_of, make_videos, prepare

from emoji_world.control import THRESHOLDS, Settings, train_into
from emoji_world.judge import load_judge, read
from emoji_world.render import render_video
from emoji_world.world import caption
from tav import params as parameters
from tav.from_params.sampling import sample_edit
from tav.model.control import Control, Controls, pixel_maps
from tav.model.control_files import load_control
from tav.model.ddim import Schedule, ddim_invert
from tav.model.denoiser import Network, prompted
from tav.model.latents import decode
from tav.model.prompts import encode_prompts
from tav.model.size import Size
from tav.video import condition_maps, write_contact_sheet

NETWORKS = {"controlnet": "ControlNet", "t2i-adapter": "T2I-Adapter"}


@dataclass(frozen=True)
class Way:
    """One way to edit a tuned video at full strength."""

    name: str
    start: str
    """inversion or noise."""
    scales: tuple[tuple[str, float], ...] = ()
    """Of each network that is on."""


def ways(networks: Sequence[str]) -> list[Way]:
    found = []
    for start in ("inversion", "noise"):
        found.append(Way(f"{start}, no control", start))
        for network in networks:
            found += [Way(f"{start}, {NETWORKS[network]} {s:g}", start, ((network, s),)) for s in (1.0, 0.5)]
        if len(networks) > 1:
            both = tuple((network, 0.5) for network in networks)
            found.append(Way(f"{start}, both 0.5", start, both))
    return found


def edits(
    way: Way,
    settings: parameters.Params,
    pipe: Any,
    inverted: Any,
    nets: dict[str, Any],
    maps: np.ndarray,
    texts: list[str],
) -> Iterator[np.ndarray]:
    """An edited video for each prompt: uint8 (f h w 3)."""
    size = Size(*(side // pipe.vae_scale_factor for side in maps.shape[1:3]))
    controls = [Control(nets[name], pixel_maps(maps), scale) for name, scale in way.scales]
    beside = [Controls(controls, pipe.unet, size)] if controls else []
    asked = settings.edit.model_copy(update={"strength": 1.0, "start_from": way.start})
    negative, *targets = encode_prompts(pipe, [asked.negative_prompt, *texts])
    for target in targets:
        yield decode(pipe.vae, sample_edit(pipe, asked, inverted, target, negative, attachments=beside))


def edge_f1(frames: np.ndarray, given: np.ndarray) -> float:
    """Of a video's edges with those it was given: harmonic mean of precision and recall; a pixel off is right."""
    import cv2

    found, asked = condition_maps.canny(frames, THRESHOLDS)[..., 0] > 0, given[..., 0] > 0
    near = [np.stack([cv2.dilate(m.astype(np.uint8), np.ones((3, 3))) > 0 for m in maps]) for maps in (asked, found)]
    precision, recall = (found & near[0]).sum() / max(1, found.sum()), (asked & near[1]).sum() / max(1, asked.sum())
    return float(2 * precision * recall / max(1e-9, precision + recall))


def run(
    settings: parameters.Params, folders: dict[str, Path], number: int, sheets: Path | None
) -> Iterator[dict[str, list[tuple[str, dict[str, float]]]]]:
    """After each video: of each way, (kind of edit, figures) so far."""
    judge, chosen = load_judge(JUDGE), ways(list(folders))
    results: dict[str, list[tuple[str, dict[str, float]]]] = {way.name: [] for way in chosen}
    for i, (scenes, asked) in enumerate(make_videos(number)):
        pipe, moments = prepare(Variant("default"), settings, scenes)
        source = render_video(scenes)
        maps = condition_maps.canny(source, THRESHOLDS)
        texts = [caption(asked[kind]) for kind in KINDS]
        (told,) = encode_prompts(pipe, [caption(scenes[0])])
        schedule = Schedule.of(pipe.scheduler, settings.invert.num_inference_steps)
        inverted = ddim_invert(prompted(Network(pipe.unet), told), schedule, moments.mean)
        nets = {name: load_control(str(folder), pipe.unet, factor=2) for name, folder in folders.items()}
        for way in chosen:
            rows = list(edits(way, settings, pipe, inverted, nets, maps, texts))
            for kind, frames in zip(KINDS, rows, strict=True):
                figures = figures_of(kind, asked[kind], scenes, read(judge, frames))
                results[way.name].append((kind, figures | {"edges": edge_f1(frames, maps)}))
            if sheets:
                labels = [caption(scenes[0]), "canny", *texts]
                large = [row.repeat(4, axis=1).repeat(4, axis=2) for row in (source, maps, *rows)]
                sheets.mkdir(parents=True, exist_ok=True)
                write_contact_sheet(sheets / f"{i}-{way.name.replace(' ', '-')}.png", large, labels)
        yield results


def summary(results: list[tuple[str, dict[str, float]]]) -> dict[str, tuple[float, float]]:
    """Mean and spread (standard deviation over edits) of each figure; of motion the median."""
    columns = {f"{kind} right": [f["right"] for k, f in results if k == kind] for kind in KINDS}
    columns |= {name: [f[name] for _, f in results] for name in ("motion", "nothing", "edges")}
    columns["hue spread"] = [f["hue spread"] for k, f in results if k == "object"]
    middle = {name: np.median if name == "motion" else np.mean for name in columns}
    return {name: (float(middle[name](values)), float(np.std(values))) for name, values in columns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--controlnet", type=Path, default=Path("models/emoji-world/controlnet"))
    parser.add_argument("--adapter", type=Path, help="tmp/control/t2i-adapter, say. Left out where it is not given")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheets", type=Path, help="a folder for contact sheets")
    asked = parser.parse_args()
    folders = {"controlnet": asked.controlnet} | ({"t2i-adapter": asked.adapter} if asked.adapter else {})
    for kind, folder in folders.items():
        if not (folder / "config.json").is_file():
            train_into(kind, Path("models/emoji-world"), folder, Settings())
    for done, results in enumerate(run(parameters.load(asked.params), folders, asked.videos, asked.sheets), 1):
        table = {name: summary(found) for name, found in results.items()}
        print(f"{done} of {asked.videos} videos", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps({"videos": done, "table": table}, indent=2) + "\n")
    columns = list(next(iter(table.values())))
    print("| strength 1.0, from | " + " | ".join(columns) + " |\n| --- |" + " --- |" * len(columns))
    for name, figures in table.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f} ± {spread:.2f}" for value, spread in figures.values()) + " |")


if __name__ == "__main__":
    main()
