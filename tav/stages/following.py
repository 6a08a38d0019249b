"""The pictures that an edit follows: an edited first frame, a reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.params import Edit

if TYPE_CHECKING:
    import numpy as np


def first_frame_of(settings: Edit, source: dict[str, Any]) -> "np.ndarray | None":
    """The edited first frame, uint8 (h w 3), where there is one. source: what extract noted. Raises UserError."""
    from tav.video import read_picture_alongside

    return read_picture_alongside(Path(settings.first_frame), source) if settings.first_frame else None


def reference_of(settings: Edit) -> "np.ndarray | None":
    """The reference picture, uint8 (h w 3) in its own size, where there is one. Raises UserError."""
    from tav.video import read_picture

    return read_picture(Path(settings.reference.picture)) if settings.reference else None
