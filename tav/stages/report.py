"""All that was made -> one HTML page that works from a file, with the videos beside it."""

import csv
import difflib
import math
import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tav.artifacts import artifact, atomic, read_frames, read_json
from tav.metrics.comparison import tables
from tav.metrics.table import METRICS
from tav.params import Params, Section
from tav.stages import OnProgress, Progress

ENLARGED = 160
"""Pixels. Videos with a shorter side are shown enlarged, each pixel as a square."""
CHART = (600, 180)
"""Width and height of a loss curve, in its own units."""


class Word(NamedTuple):
    text: str
    kind: Literal["same", "new", "gone"]


class Setting(NamedTuple):
    name: str
    value: str
    own: bool
    """Of this video or edit alone, over the section."""


def changes(caption: str, prompt: str) -> list[Word]:
    """What a prompt says other than the caption: runs of words, in reading order. Case and punctuation don't count."""
    old, new = caption.split(), prompt.split()
    plain = [[word.strip(".,;:!?").lower() for word in words] for words in (old, new)]
    words = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, plain[0], plain[1], autojunk=False).get_opcodes():
        if kind == "equal":
            words.append(Word(" ".join(new[c:d]), "same"))
        else:
            words += [Word(" ".join(old[a:b]), "gone")] * (a < b) + [Word(" ".join(new[c:d]), "new")] * (c < d)
    return words


def settings_of(section: Section, marked: set[str] | None = None) -> list[Setting]:
    """A section's settings as params.yaml names them, and which of them are `marked`."""
    plain = section.model_dump(mode="json", by_alias=True)
    return [Setting(name, _text(value), name in (marked or ())) for name, value in plain.items()]


def best(values: list[float | None], better: str = "higher") -> list[bool]:
    """Which are the best, by `Metric.better`. None of them where there is nothing to compare, or no telling."""
    there = [value for value in values if value is not None]
    if len(there) < 2 or better == "near the source":
        return [False] * len(values)
    top = max(there) if better == "higher" else min(there)
    return [value == top for value in values]


def table(edits: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of cells: the source's own values, then each edit's. How good they are is marked where one can say so."""
    measured = [edit for edit in edits if edit["metrics"]]
    source = measured[0]["metrics"]["source"] if measured else {}
    names = [name for name in METRICS if any(name in edit["metrics"]["edit"] for edit in measured)]
    marks = {
        name: best([edit["metrics"]["edit"].get(name) for edit in measured], METRICS[name].better) for name in names
    }
    rows = [
        {"edit": edit, "cells": [_cell(name, edit["metrics"], best=marks[name][i]) for name in names]}
        for i, edit in enumerate(measured)
    ]
    return {
        "metrics": [METRICS[name] for name in names],
        "source": [METRICS[name].text(source.get(name)) for name in names],
        "rows": rows,
    }


def loss_curve(file: Path) -> dict[str, Any] | None:
    """A tuning's loss, with its running mean over a twentieth of the steps, as SVG points."""
    if not file.exists():
        return None
    with file.open(newline="") as lines:
        rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(lines)]
    rows = [row for row in rows if math.isfinite(row[1])]
    if not rows:
        return None
    steps, losses = zip(*rows, strict=True)
    window = max(1, len(losses) // 20)
    means = [sum(part) / len(part) for part in (losses[max(0, i - window + 1) : i + 1] for i in range(len(losses)))]
    low, high = min(losses), max(losses)
    width, height = CHART

    def points(values: Any) -> str:
        xs = (width * (step - steps[0]) / max(1, steps[-1] - steps[0]) for step in steps)
        ys = (height * (1 - (value - low) / ((high - low) or 1)) for value in values)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))

    data = [[step, float(f"{loss:.4g}"), float(f"{mean:.4g}")] for (step, loss), mean in zip(rows, means, strict=True)]
    facts = {"low": low, "high": high, "first": steps[0], "last": steps[-1], "window": window, "end": means[-1]}
    return {"width": width, "height": height, "raw": points(losses), "mean": points(means), "data": data, **facts}


def edit_view(params: Params, key: str, caption: str, folder: Path) -> dict[str, Any]:
    """What the page shows of an edit. Copies its video into `folder`."""
    asked, file = params.video_edit(key), artifact("edit", key, "video.mp4")
    if file.exists():
        shutil.copyfile(file, folder / "edits" / f"{key}.mp4")
    return {
        "key": key,
        "prompt": asked.prompt,
        "variant": asked.variant,
        "words": changes(caption, asked.prompt),
        "cut": (_read_if_there("edit", key, "edit.json") or {}).get("cut", ""),
        "video": f"edits/{key}.mp4" if file.exists() else None,
        "mask": _mask(key, asked.video, folder),
        "metrics": _read_if_there("evaluate", key, "metrics.json"),
        "settings": settings_of(params.edit_of(key), _set_here(asked)),
    }


def video_view(params: Params, key: str, folder: Path) -> dict[str, Any]:
    """What the page shows of a video and its edits. Writes its picked frames as a video into `folder`."""
    video = params.video(key)
    caption = _read_if_there("caption", key, "caption.json") or {"caption": video.caption or "", "by": "given"}
    names = [e for e, asked in params.edits.items() if params.footage_of(asked.video) == key]
    edits = [edit_view(params, e, caption["caption"], folder) for e in names]
    return {
        "key": key,
        **caption,
        "source": _source(key, folder / "sources" / f"{key}.mp4"),
        "edits": edits,
        "maps": _maps(key, folder),
        "table": table(edits),
        "loss": loss_curve(artifact("tune", key, "loss.csv")),
        "tuning": _read_if_there("tune", key, "tuning.json"),
        "inversion": _read_if_there("invert", key, "inversion.json"),
        "settings": {
            "extract": settings_of(params.extract_of(key), set(video.extract)),
            "tune": settings_of(params.tune_of(key), set(video.tune)),
        },
    }


def render(videos: list[dict[str, Any]], sections: dict[str, list[Setting]], means: list[dict[str, Any]]) -> str:
    """The page. All text is escaped: prompts come from anywhere."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = jinja.get_template("report.html.jinja")
    return page.render(videos=videos, sections=sections, means=means, metrics=METRICS)


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Writes `index.html`, `sources/VIDEO.mp4`, `edits/EDIT.mp4`, `maps/*.mp4`. Lists what isn't made yet."""
    names = ("base", "compute", "extract", "caption", "tune", "invert", "condition", "edit", "evaluate")
    sections = {name: settings_of(getattr(params, name)) for name in names}
    with atomic(artifact("report")) as folder:
        for part in ("sources", "edits", "maps"):
            (folder / part).mkdir(parents=True)
        videos = []
        shown = [video for video in params.videos if params.footage_of(video) == video]  # a variant's edits: beside
        for video in shown:
            videos.append(video_view(params, video, folder))
            on_progress(Progress(len(videos), len(shown)))
        (folder / "index.html").write_text(render(videos, sections, tables(params)), encoding="utf-8")


def _maps(key: str, folder: Path) -> list[dict[str, str]]:
    """What controls may follow of a video: a video of each kind, as the source is shown."""
    settings = _read_if_there("condition", key, "maps/settings.json") or {"kinds": []}
    views = []
    for kind in settings["kinds"]:
        name = f"maps/{key}--{kind}.mp4"
        _write_shown(folder / name, artifact("condition", key, f"maps/{kind}"), key)
        views.append({"kind": kind, "video": name})
    return views


def _mask(key: str, video: str, folder: Path) -> str | None:
    """A video of where an edit was let change something, where it has a mask."""
    frames, name = artifact("edit", key, "frames/mask"), f"maps/{key}--mask.mp4"
    if not frames.exists():
        return None
    _write_shown(folder / name, frames, video)
    return name


def _write_shown(file: Path, frames: Path, video: str) -> None:
    """A folder of frames as a video, brought back to the source's size as the edits are."""
    from tav.video import unfit, write_mp4

    source = read_json(artifact("extract", video, "source/info.json"))
    shown = unfit(read_frames(frames), source["width"], source["height"], source["fit"])
    write_mp4(file, shown, source["fps"])


def _source(key: str, file: Path) -> dict[str, Any] | None:
    """The picked frames, at their cadence and brought back to the source's size as the edits are."""
    from tav.video import unfit, write_mp4

    if not artifact("extract", key, "source/info.json").exists():
        return None
    source = read_json(artifact("extract", key, "source/info.json"))
    frames = unfit(read_frames(artifact("extract", key, "frames")), source["width"], source["height"], source["fit"])
    write_mp4(file, frames, source["fps"])
    num_frames, height, width, _ = frames.shape
    size = {"num_frames": num_frames, "height": height, "width": width, "enlarged": min(height, width) < ENLARGED}
    return {"video": f"sources/{key}.mp4", "fps": source["fps"], **size}


def _read_if_there(stage: str, key: str, name: str) -> Any:
    """What a stage wrote, or None where it has not run yet."""
    file = artifact(stage, key, name)
    return read_json(file) if file.exists() else None


def _set_here(section: Section) -> set[str]:
    return set(section.model_dump(exclude_none=True, by_alias=True))


def _cell(name: str, metrics: dict[str, dict[str, float]], best: bool) -> dict[str, Any]:
    """A metric of an edit, with what to compare it with: small, in words."""
    metric, value, source = METRICS[name], metrics["edit"].get(name), metrics["source"].get(name)
    unedited = metric.text(metrics["source"].get(f"{name}_with_target_prompt"))
    beside = f"source {unedited}" if unedited else ""
    if metric.better == "near the source" and value is not None and source:  # of motion the source has 0
        beside = f"{metric.text(value - source, sign='+')} from the source"
    return {"value": metric.text(value), "beside": beside, "best": best}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(part)}" for name, part in value.items() if part is not None)
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value) or "none"
    named = {"None": "\N{EN DASH}", "True": "yes", "False": "no", "": '""'}
    return named.get(str(value), str(value))
