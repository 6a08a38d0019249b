"""`tav init`: a project in a folder of its own, where all commands work as in a clone of tav's repository."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tav.commands.params_text import parse, remove_entries, set_value
from tav.params import UserError

FILES = ("params.yaml", "dvc.yaml", "recipe.yaml", "prefect.yaml", ".gitignore", ".dvcignore")
SCHEMA = "params.schema.json"
"""For editors: params.yaml's first line names it, in a clone as a part of tav."""
DEMO = ("videos", "models/emoji-world/stable-diffusion", "models/emoji-world/clip", "models/emoji-world/blip2")
REAL: dict[str, dict[str, Any]] = {  # the paper's settings; README says the same
    "base": {"source": "hub:stable-diffusion-v1-5/stable-diffusion-v1-5"},
    "extract": {"num_frames": 24, "fps": 8, "stride": None, "size": 512},
    "tune": {"steps": 500, "learning_rate": 3.0e-5, "temporal_learning_rate": None},
    "invert": {"num_inference_steps": 50, "prompt": "", "method": "ddim"},
    "edit": {"guidance_scale": 12.5, "strength": 1.0},
}
MODELS = {
    ("evaluate", "clip"): "hub:openai/clip-vit-large-patch14",
    ("caption", "model"): "hub:Salesforce/blip2-opt-2.7b",
}
WEIGHTS = "models"
NOTE = "Weights of your own lie here (a folder or a .safetensors file, and LoRAs). DVC watches all of it.\n"


def template() -> Path:
    """The folder that projects are made from: in a wheel tav/project, in a clone the clone itself."""
    inside = Path(__file__).parents[1] / "project"
    return inside if inside.is_dir() else Path(__file__).parents[2]


def make_project(folder: Path, *, demo: bool) -> list[str]:
    """Make a project: its files, and a git and a DVC repository where there is none. All of it, or nothing.

    demo: with the sample videos and the shipped models; else with the settings for real weights and no video.
    Returns what to tell the person. Raises UserError.
    """
    there = [name for name in (*FILES, "videos", "models", ".dvc") if (folder / name).exists()]
    if there:
        raise UserError(f"{folder} holds {', '.join(there)} already: give a new folder, or an empty one")
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        _write(folder, demo)
        _repositories(folder)
    except BaseException:
        _remove(folder, new)
        raise
    next_step = "dvc repro && tav table" if demo else 'tav add my.mp4 --edit "spider man is skiing"'
    return [f"made a project in {folder}", f"now run: cd {folder} && {next_step}"]


def _write(folder: Path, demo: bool) -> None:
    source = template()
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(source / name, folder / name)
    shutil.copyfile(Path(__file__).parents[1] / SCHEMA, folder / SCHEMA)
    text = (source / "params.yaml").read_text().replace(f"tav/{SCHEMA}", SCHEMA, 1)
    (folder / "params.yaml").write_text(text if demo else for_real_weights(text))
    if demo:
        for name in DEMO:
            shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("*.dvc", ".gitignore"))
        return
    make_weights_folder(folder)


def make_weights_folder(folder: Path) -> None:
    """The folder that DVC watches for weights, where there is none: dvc.yaml names it."""
    if not (folder / WEIGHTS).exists():
        (folder / WEIGHTS).mkdir()
        (folder / WEIGHTS / "README.md").write_text(NOTE)


def for_real_weights(text: str) -> str:
    """The shipped params.yaml without videos, set to Stable Diffusion 1.5 and the paper's settings."""
    data = parse(text)
    for section in ("edits", "videos"):
        text = remove_entries(text, section, list(data[section]))
    for section, values in REAL.items():
        for name, value in sorted(values.items(), key=lambda item: item[1] is not None):  # one rate goes, another comes
            text = set_value(text, (section, name), value)
    for names, source in MODELS.items():
        text = set_value(text, (*names, "source"), source)
    return text


def _repositories(folder: Path) -> None:
    inside = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=folder, capture_output=True, text=True)
    if inside.returncode:
        _run(["git", "init", "--quiet"], folder)
    subdir = [] if inside.returncode or Path(inside.stdout.strip()) == folder.resolve() else ["--subdir"]
    _run([sys.executable, "-m", "dvc", "init", *subdir], folder)
    for name in ("analytics", "check_update"):
        _run([sys.executable, "-m", "dvc", "config", f"core.{name}", "false"], folder)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed: install it and run this again") from None
    if done.returncode:
        raise UserError(f"`{' '.join(command)}` failed in {folder}: {' '.join((done.stdout + done.stderr).split())}")


def _remove(folder: Path, new: list[Path]) -> None:
    """Take back what was made: a folder that was there stays, empty as it was."""
    if new:
        shutil.rmtree(new[-1], ignore_errors=True)
        return
    for name in (*FILES, SCHEMA, "videos", "models", ".dvc"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).unlink(missing_ok=True)
