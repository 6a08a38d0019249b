"""The settings that a stage runs with: resolved, with the recipe's number and the versions of what computes.

The runner writes them as settings.json beside the stage's results, from which MLflow is told; a tuning writes them into
the header of its weights too.
"""

from importlib.metadata import version
from typing import Any

from tav.params import Params
from tav.params.sections import Section
from tav.recipe import numbers

PACKAGES = ("tav", "torch", "diffusers", "transformers")
FILE = "settings.json"
OF_VIDEOS = ("extract", "caption", "tune", "invert", "condition")
OF_EDITS = ("edit", "evaluate")
LABELS = ("kind", "variant")
"""Of an edit, for tables. They change nothing that is made."""
STAGES = (*OF_VIDEOS, *OF_EDITS)
"""Those that write their settings: all that make something of a video or an edit."""


def sections_of(params: Params, stage: str, key: str) -> dict[str, Section]:
    """The sections of params.yaml that count for a stage, with a video's or an edit's own settings over them."""
    how = {"base": params.base, "compute": params.compute}
    match stage:
        case "extract":
            return {"extract": params.extract_of(key)}
        case "tune":
            tuning = params.tune_of(key)
            return {**how, "tune": tuning} | ({"condition": params.condition} if tuning.control else {})
        case "invert":
            return {**how, "invert": params.invert}
        case "edit":
            return {**how, "edit": params.edit_of(key)}
        case _:
            return {stage: getattr(params, stage)}


def asked_of(params: Params, stage: str, key: str) -> dict[str, str | None]:
    """What is asked of a stage besides: the video's path or its given caption, the edit's video and prompt."""
    if stage in OF_EDITS:
        edit = params.video_edit(key)
        labels = {name: getattr(edit, name) for name in LABELS} if stage == "edit" else {}
        return {"video": edit.video, "prompt": edit.prompt, **labels}
    video = params.video(key)
    if stage == "extract":
        return {"path": video.path}
    return {"caption": video.caption} if stage == "caption" else {}


def settings_of(params: Params, stage: str, key: str) -> dict[str, Any]:
    """As JSON has it: {"stage", "key", "recipe", "asked", "sections", "versions"}. On which device is not in it."""
    sections = {
        name: part.model_dump(mode="json", by_alias=True) for name, part in sections_of(params, stage, key).items()
    }
    asked = asked_of(params, stage, key)
    what = {"stage": stage, "key": key, "recipe": numbers()[stage], "asked": asked, "sections": sections}
    return what | {"versions": {name: version(name) for name in PACKAGES}}
