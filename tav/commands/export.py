"""`tav export`: results in a folder of their own, to be sent to others. Each form is a function: what, and to where."""

import shutil
from pathlib import Path
from typing import Any

from tav.artifacts import artifact, atomic
from tav.params import Params, UserError

FILES = ("video.mp4", "preview.gif", "sheet.png", "frames", "edit.json")
"""Of an edit, as `tav.stages.edit` makes it."""


def export(params: Params, name: str, to: Path) -> list[str]:
    """Write what `tav export NAME --to FOLDER` asks for. Returns what to tell the person. Raises UserError."""
    free(to)
    if name == "loveu" and name not in params.edits:
        from tav.commands.loveu import export_loveu

        return export_loveu(params, to)
    return export_edit(params, name, to)


def export_edit(params: Params, edit: str, to: Path) -> list[str]:
    """A folder with an edit: MP4, GIF, sheet, frames, metrics, the settings that made it, the tuned weights."""
    video, folder_of_edit = params.video_edit(edit).video, artifact("edit", edit)
    if not (folder_of_edit / "edit.json").exists():
        raise UserError(f"no {folder_of_edit}: run `dvc repro edit@{edit}` first")
    others = [artifact("evaluate", edit, "metrics.json"), artifact("tune", video, "weights.safetensors")]
    with atomic(to) as folder:
        folder.mkdir()
        for path in [*(folder_of_edit / name for name in FILES), *(path for path in others if path.exists())]:
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, folder / path.name)
        write_yaml(folder / "params.yaml", alone(params, edit))
    return [f"{to}: {edit} with the settings that made it (params.yaml) and what was tuned (weights.safetensors)"]


def alone(params: Params, edit: str) -> dict[str, Any]:
    """What a params.yaml holds in which there is this edit only, with its video."""
    data = params.model_dump(mode="json", by_alias=True)
    settings = {name: value for name, value in data["edits"][edit].items() if value is not None}
    video = settings["video"]
    return data | {"videos": {video: data["videos"][video]}, "edits": {edit: settings}}


def write_yaml(path: Path, data: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    with path.open("w", encoding="utf-8") as file:
        YAML().dump(data, file)


def free(to: Path) -> None:
    """Raises UserError where something lies already."""
    if to.exists():
        raise UserError(f"{to} is there already: give another name, or delete it")
