"""The names of videos and edits."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from tav.complaints import UserError, quoted


def is_key(text: str) -> bool:
    """Whether a text can name a video or an edit: 1 to 64 letters and digits of any script, `-` and `_`.

    DVC, the file system and the shell take all of those as they are.
    """
    if not 1 <= len(text) <= 64 or not all(c in "-_" or unicodedata.category(c)[0] in "LMN" for c in text):
        return False
    return len(text.encode()) <= 200  # file names are made of it


def _key(text: str) -> str:
    if not is_key(text):
        raise ValueError(f"{quoted(text)} can't be a name: use 1 to 64 letters, digits, '-' and '_'")
    return text


Key = Annotated[
    str,
    AfterValidator(_key),
    WithJsonSchema({"type": "string", "pattern": r"^[^\x00-,./:-@\[-^`{-\x7f]{1,64}$"}),  # no dialect knows all letters
]


def check_key(key: str) -> str:
    """A name of a video or an edit. Raises UserError."""
    try:
        return _key(key)
    except ValueError as error:
        raise UserError(str(error)) from None
