"""`tav add`: copy a video in, track it with DVC, and add it and its edits to params.yaml."""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tav.artifacts import atomic
from tav.params import UserError, check, check_key

PARAMS = Path("params.yaml")
VIDEOS = Path("videos")


def add_video(source: Path, prompts: list[str], caption: str | None, name: str | None) -> list[str]:
    """Add a video and its edits. All of it, or, when something is wrong, nothing.

    A video that params.yaml has already gets the new edits only. Returns what to tell the person.
    Raises UserError.
    """
    from ruamel.yaml import YAML

    from tav.video import probe

    yaml = YAML()  # keeps comments and order
    yaml.width = 4096
    if not PARAMS.exists():
        raise UserError(f"no params.yaml in {Path.cwd()}: run this in the project's folder")
    data = yaml.load(PARAMS)
    info = probe(source)
    key = _video_key(data, source, name)
    new_video = key not in data["videos"]
    if new_video:
        suffix = "" if source.is_dir() else source.suffix.lower()
        copy = VIDEOS / f"{key}{suffix}"
        data["videos"][key] = {"path": str(copy), "caption": caption, "extract": {}, "tune": {}}
    elif caption is not None:
        data["videos"][key]["caption"] = caption
    edits = {_edit_key(data, key, p): p for p in prompts if not _has_edit(data, key, p)}
    for edit, prompt in edits.items():
        data["edits"][edit] = {"video": key, "prompt": prompt}
    check(_plain(data))
    text = io.StringIO()
    yaml.dump(data, text)
    if new_video:
        _copy_and_track(source, copy)
    with atomic(PARAMS) as fresh:
        fresh.write_text(text.getvalue(), encoding="utf-8")
    said = f"{info.width}x{info.height}, {info.fps:g} frames/s" + (", with sound" if info.has_audio else "")
    return [
        f"{'added' if new_video else 'there already:'} video {key} ({said})",
        *(f"added edit {edit}: {prompt}" for edit, prompt in edits.items()),
        "now run: dvc repro",
    ]


def _video_key(data: Any, source: Path, name: str | None) -> str:
    """The name of the video: that of the same file if it is in already, else a free one."""
    same = [k for k, v in data["videos"].items() if Path(v["path"]).resolve() == source.resolve()]
    if same and name in (None, same[0]):
        return str(same[0])
    key = check_key(name if name is not None else _slug(source.stem))
    if key in data["videos"]:
        there = data["videos"][key]["path"]
        if not source.is_dir() and Path(there).is_file() and Path(there).read_bytes() == source.read_bytes():
            return key
        raise UserError(f"params.yaml has a video {key!r} already ({there}): give this one another --name")
    return key


def _edit_key(data: Any, video: str, prompt: str) -> str:
    """`VIDEO--PROMPT` in the letters of a key, and a number where that is taken."""
    stem = f"{video}--{_slug(prompt) or 'edit'}"[:60].rstrip("-_")
    taken, n = stem, 2
    while taken in data["edits"]:
        taken, n = f"{stem}-{n}", n + 1
    return taken


def _has_edit(data: Any, video: str, prompt: str) -> bool:
    return any(e["video"] == video and e["prompt"] == prompt for e in data["edits"].values())


def _slug(text: str) -> str:
    """A text in the letters of a key; "" when it has none of them."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-").lower()[:40].rstrip("-")


def _plain(data: Any) -> Any:
    """ruamel's commented types as plain dicts and lists."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML().dump(data, text)
    return YAML(typ="safe", pure=True).load(text.getvalue())


def _copy_and_track(source: Path, copy: Path) -> None:
    if copy.exists():
        raise UserError(f"{copy} is there already, and not in params.yaml: give another --name, or delete it")
    with atomic(copy) as fresh:
        shutil.copytree(source, fresh) if source.is_dir() else shutil.copyfile(source, fresh)
    dvc = [sys.executable, "-m", "dvc", "--wait-for-lock", "add", "--quiet", str(copy)]
    done = subprocess.run(dvc, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
        raise UserError(f"DVC can't track {copy}: {' '.join(done.stderr.split())}")
