"""A project folder as a user has it, with tiny models: real files, real classes, random weights."""

from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from tiny import tiny_blip2, tiny_clip, tiny_stable_diffusion, tiny_video

from tav.artifacts import artifact, read_frames
from tav.params import check, load
from tav.stages import Progress, edit

ROOT = Path(__file__).parent.parent


def ignore(progress: Progress) -> None:
    """For a stage whose progress a test does not look at."""


def tiny_params(models: Path) -> dict[str, Any]:
    """params.yaml's content: one video of four frames, one edit, two steps of everything."""
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    data["videos"] = {"cat": {"path": "videos/cat.mp4", "caption": "a cat running", "extract": {}, "tune": {}}}
    data["edits"] = {"cat--dog": {"video": "cat", "prompt": "a dog running"}}
    data["base"]["source"] = str(models / "stable-diffusion")
    data["evaluate"]["clip"]["source"] = str(models / "clip")
    data["caption"]["model"]["source"] = str(models / "blip2")
    data["extract"] |= {"num_frames": 4, "size": 32, "fps": None, "stride": None}
    data["tune"] |= {"steps": 4, "checkpoint_every": 2, "save_precision": "fp32", "sample_every": None}
    data["invert"] |= {"num_inference_steps": 2, "method": "ddim"}
    return data


def make_models(folder: Path) -> Path:
    tiny_stable_diffusion(folder / "stable-diffusion")
    tiny_clip(folder / "clip")
    tiny_blip2(folder / "blip2")
    return folder


def make_project(folder: Path, models: Path, *, audio: bool = False) -> dict[str, Any]:
    """Write videos/cat.mp4, params.yaml, dvc.yaml and recipe.yaml. Returns params.yaml's content."""
    (folder / "videos").mkdir(parents=True)
    (folder / "models").mkdir()
    tiny_video(folder / "videos/cat.mp4", width=64, height=48, num_frames=16, audio=audio)
    for name in ("dvc.yaml", "recipe.yaml"):
        (folder / name).write_text((ROOT / name).read_text())
    data = tiny_params(models)
    write_params(folder, data)
    return data


def write_params(folder: Path, data: dict[str, Any]) -> None:
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(data, file)


def state(project: Path) -> dict[str, bytes]:
    """The files of a project, but for git's and DVC's own, and locks."""
    files = [
        file for file in project.rglob("*") if not {".git", ".dvc", ".lock"} & set(file.relative_to(project).parts)
    ]
    return {str(file.relative_to(project)): file.read_bytes() for file in files if file.is_file()}


def edits_of(video: str) -> dict[str, str]:
    return {name: edit.prompt for name, edit in load().edits.items() if edit.video == video}


def edited(data: dict[str, Any], **settings: Any) -> np.ndarray:
    """The frames of the stage edit, for cat--dog with settings of its own."""
    data["edits"]["cat--dog"] = {"video": "cat", "prompt": "a dog running", **settings}
    edit.run(check(data), "cat--dog", ignore)
    return read_frames(artifact("edit", "cat--dog", "frames"))
