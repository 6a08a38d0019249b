"""The settings that made an edit, as a text that goes with its video, and back."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from tav.complaints import UserError, complaints, listed
from tav.params.editing import Edit
from tav.params.project import Params
from tav.params.sections import Extract, Section, Text
from tav.params.tuning import Tune

NOT_MADE_WITH = {"videos", "edits", "caption", "evaluate"}
"""Of params.yaml: what doesn't make an edit, or is told by itself."""

PATHS = {"path", "source", "config", "frames", "first_frame", "picture"}
"""Knobs that name a file or a folder."""


class Embedded(Section):
    """What `settings_text` tells. Other sections (base, invert, ...) are kept as they were written."""

    tav: str
    """The version of tav."""
    path: Text
    """Of the source video, relative to the project; of one that lies outside, its name alone."""
    source_prompt: Text | None
    """The caption that was tuned on."""
    prompt: Text
    kind: Text | None = None
    extract: Annotated[Extract, Field(strict=False)]
    tune: Annotated[Tune, Field(strict=False)]
    edit: Annotated[Edit, Field(strict=False)]
    others: Annotated[dict[str, Any], Field(default_factory=dict)]


def settings_text(params: Params, edit: str, caption: str | None) -> str:
    """JSON of everything that an edit is made with. Folders of this machine are left out of paths."""
    asked = params.video_edit(edit)
    sections = {
        "extract": params.extract_of(asked.video),
        "tune": params.tune_of(asked.video),
        "edit": params.edit_of(edit),
    }
    data = params.model_dump(mode="json", by_alias=True, exclude=NOT_MADE_WITH)
    others = {name: value for name, value in data.items() if name not in sections}
    settings = {
        "tav": version("tav"),
        "path": params.video(asked.video).path,
        "source_prompt": caption,
        "prompt": asked.prompt,
        "kind": asked.kind,
        **{name: section.model_dump(mode="json", by_alias=True) for name, section in sections.items()},
        "others": others,
    }
    return json.dumps(_without_folders(settings), ensure_ascii=False)


def parse_settings(text: str) -> Embedded:
    """What `settings_text` wrote, perhaps by another version of tav. Raises UserError."""
    try:
        return Embedded.model_validate(json.loads(text))
    except ValidationError as error:
        raise UserError(
            f"its settings don't fit this version of tav: {listed(complaints(error, Embedded), '; ')}"
        ) from None
    except (ValueError, RecursionError):
        raise UserError("it has no settings of tav in it") from None


def _without_folders(data: Any) -> Any:
    if isinstance(data, list):
        return [_without_folders(value) for value in data]
    if not isinstance(data, dict):
        return data
    cut = {name: Path(value).name for name, value in data.items() if name in PATHS and _is_absolute(value)}
    return {name: _without_folders(value) for name, value in data.items()} | cut


def _is_absolute(value: Any) -> bool:
    return isinstance(value, str) and Path(value).is_absolute()
