"""LOVEU-TGVE-2023 in and out: 76 videos with four prompts each (showlab/loveu-tgve-2023 @d75589f).

FOLDER/SPLIT/480p_frames/NAME/*.jpg, or FOLDER/SPLIT/480p_videos/NAME.mp4      the videos
a CSV of its table, its configs (SPLIT/NAME.yaml), or one YAML of `videos:`    the captions and prompts
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tav.artifacts import artifact, atomic, read_frames
from tav.commands.data_set import PAPER_EDIT, PAPER_INVERT, PAPER_TUNE, Choice, Entry, Prompt, import_entries
from tav.complaints import listed
from tav.params import Params, UserError, read_yaml

KINDS = ("style", "object", "background", "multiple")
SPLITS = {"davis": "DAVIS_480p", "youtube": "youtube_480p", "videvo": "videvo_480p"}
HOME = "loveu-tgve-2023"
"""Folder of its videos under videos/."""
SIDE = 480
WITHIN = {"480p_frames", "480p_videos"}
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Texts:
    """What the benchmark asks of one video."""

    split: str
    name: str
    caption: str
    prompts: dict[str, str]
    num_frames: int | None = None


def import_loveu(folder: Path, texts: Path | None, choice: Choice) -> list[str]:
    """Add the benchmark's videos and prompts to params.yaml, with its settings. Returns what to tell the person.

    folder: of the videos. texts: where the captions and prompts are; None: in the folder. Raises UserError.
    """
    known = read_texts(texts or folder)
    chosen = [known[i] for i in choice.of([(t.split, t.name) for t in known])]
    entries, missing = [], []
    for each in chosen:
        path = footage_of(folder, each)
        if path is None:
            missing.append(f"{each.split}/{each.name}")
            continue
        entries.append(_entry(each, path))
        if (got := entries[-1].extract["num_frames"]) != (each.num_frames or got):
            missing.append(f"{each.split}/{each.name} has {got} frames, of {each.num_frames}: those are taken")
    return [
        *import_entries(entries, PAPER_INVERT, missing),
        "note: the benchmark's baseline is on CompVis/stable-diffusion-v1-4",
    ]


def read_texts(path: Path) -> list[Texts]:
    """Captions and prompts from a CSV, a YAML, or a folder that has either. Raises UserError."""
    if path.is_dir():
        files = sorted(path.glob("*.csv")) or sorted(path.glob("*.yaml")) or sorted(path.rglob("*.yaml"))
        if not files:
            raise UserError(
                f"{path} has no captions: expected its table as CSV (save LOVEU-TGVE_2023_data.xlsx as one) or "
                " its configs (*.yaml) there, or --texts"
            )
    elif path.is_file():
        files = [path]
    else:
        raise UserError(f"no {path}: give the benchmark's CSV, its YAML, or the folder of its configs")
    texts_of_videos = [
        texts for file in files for texts in (_of_csv(file) if file.suffix == ".csv" else _of_yaml(file))
    ]
    if not texts_of_videos:
        raise UserError(f"{files[0]} has none of the benchmark's captions")
    return texts_of_videos


def _of_csv(file: Path) -> Iterator[Texts]:
    """The benchmark's table: a row a video, under rows that name the split, as in "DAVIS Videos:"."""
    split = ""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        table = csv.DictReader(lines)
        columns = {kind: next((c for c in table.fieldnames or () if c.lower().startswith(kind)), "") for kind in KINDS}
        if lost := [kind for kind, column in columns.items() if not column]:
            raise UserError(
                f"{file} has no column for {listed(lost, ', ')}; it has {listed(list(table.fieldnames or []), ', ')}"
            )
        for row in table:
            name = (row.get("Video name") or "").strip()
            caption = (row.get("Our GT caption") or "").strip()
            if name and not caption:
                split = next((s for word, s in SPLITS.items() if name.lower().startswith(word)), split)
            elif name:
                prompts = {kind: (row[column] or "").strip() for kind, column in columns.items()}
                yield Texts(split, name, caption, prompts)


def _of_yaml(file: Path) -> Iterator[Texts]:
    """One of the benchmark's configs, or all of them as a list under `videos`."""
    data = read_yaml(file)
    try:
        if "train_data" in data:
            train = data["train_data"]
            prompts = dict(data["validation_data"]["prompts"])
            yield _texts(
                Path(train["video_path"]).parts[-3], Path(train["video_path"]).name, train["prompt"], prompts, train
            )
        else:
            for video in data["videos"]:
                yield _texts(video["split"], video["name"], video["caption"], video["prompts"], video)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{file} is no config of LOVEU-TGVE-2023: it lacks {error}") from None


def _texts(split: str, name: str, caption: str, prompts: dict[str, str], of: dict[str, Any]) -> Texts:
    clean = {kind: str(text).strip() for kind, text in prompts.items()}  # as run_eval.py does
    return Texts(split, name, str(caption).strip(), clean, of.get("num_frames"))


def footage_of(folder: Path, texts: Texts) -> Path | None:
    """Where a video lies: its folder of images, else its file."""
    for split in (folder / texts.split, folder / HOME / texts.split):
        frames = split / "480p_frames" / texts.name
        if frames.is_dir():
            return frames
        if files := sorted(split.glob(f"480p_videos/{texts.name}.*")):
            return files[0]
    return None


def _entry(texts: Texts, path: Path) -> Entry:
    """Every frame at 480x480, as the benchmark's configs have it."""
    extract = {"num_frames": _num_frames(path), "start": 0.0, "fps": None, "stride": 1, "size": [SIDE, SIDE]}
    return Entry(
        name=texts.name,
        path=path,
        caption=texts.caption,
        prompts=[Prompt(text, kind) for kind, text in texts.prompts.items() if text],
        place=f"{HOME}/{texts.split}",
        extract=extract,
        tune=PAPER_TUNE,
        edit=PAPER_EDIT,
    )


def _num_frames(path: Path) -> int:
    from tav.video import probe

    return max(1, probe(path).num_frames or 1)


def export_loveu(params: Params, out: Path) -> list[str]:
    """Write the edits in the layout of a submission: OUT/SPLIT/NAME/KIND/00000.jpg. Returns what to tell the person.

    The frames are as the model made them. A video is exported whose path ends in SPLIT/NAME, as `tav import loveu`
    has it. Raises UserError.
    """
    places = {key: place for key in params.edits if (place := _place(params, key))}
    if not places:
        raise UserError("no edit is of LOVEU-TGVE-2023: `tav import loveu FOLDER` brings its videos and prompts in")
    if twice := [str(place) for place in {*places.values()} if [*places.values()].count(place) > 1]:
        raise UserError(f"several edits are {listed(twice, ', ')}: a submission has one of each kind for a video")
    with_frames = {key: place for key, place in places.items() if artifact("edit", key, "frames").exists()}
    if not with_frames:
        raise UserError("no edit is made yet: run `dvc repro` first")
    with atomic(out) as fresh:
        for key, place in with_frames.items():
            _write_jpegs(fresh / place, read_frames(artifact("edit", key, "frames")))
    not_made = [str(place) for key, place in places.items() if key not in with_frames]
    lines = [f"wrote {len(with_frames)} edits of {len({p.parent for p in with_frames.values()})} videos to {out}"]
    return [*lines, *([f"not made yet: {listed(not_made, ', ')}"] if not_made else [])]


def _place(params: Params, key: str) -> Path | None:
    """SPLIT/NAME/KIND of an edit; None of one that is not the benchmark's."""
    edit = params.video_edit(key)
    path = Path(params.video(edit.video).path)
    split = next((part for part in reversed(path.parent.parts) if part not in WITHIN), "")
    if edit.kind not in KINDS or split not in SPLITS.values():
        return None
    return Path(split) / (path.stem if path.suffix else path.name) / edit.kind


def _write_jpegs(folder: Path, frames: Any) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{i:05d}.jpg", quality=JPEG_QUALITY)
