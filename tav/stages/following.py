"""What an edit follows besides its prompt: maps (made or one's own), an edited first frame, a reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.artifacts import artifact, read_frames
from tav.params import Edit

if TYPE_CHECKING:
    import numpy as np


def maps_of(settings: Edit, video: str, source: dict[str, Any]) -> "dict[str, np.ndarray]":
    """What each control follows, uint8 (f h w 3), by its place and name. Raises UserError.

    Args:
        settings: of the edit.
        video: its key.
        source: what extract noted: where the frames come from.
    """
    from tav.video import read_alongside

    maps = {}
    for place, control in enumerate(settings.controls, 1):
        if control.frames is not None:
            maps[f"condition {place}: {control.frames}"] = read_alongside(Path(control.frames), source)
        else:
            folder = artifact("condition", video, f"maps/{control.kind}")
            maps[f"condition {place}: {control.kind}"] = read_frames(folder)
    return maps


def first_frame_of(settings: Edit, source: dict[str, Any]) -> "np.ndarray | None":
    """The edited first frame, uint8 (h w 3), where there is one. source: what extract noted. Raises UserError."""
    from tav.video import read_picture_alongside

    return read_picture_alongside(Path(settings.first_frame), source) if settings.first_frame else None


def reference_of(settings: Edit) -> "np.ndarray | None":
    """The reference picture, uint8 (h w 3) in its own size, where there is one. Raises UserError."""
    from tav.video import read_picture

    return read_picture(Path(settings.reference.picture)) if settings.reference else None
