"""Names of videos and edits, made from file names and prompts."""

import unicodedata
from collections.abc import Iterable

from tav.params import is_key

LETTERS, BYTES = 60, 180
"""Of a name that is made here, less than a name may have: a number still fits behind it."""


def slug(text: str, letters: int = 40) -> str:
    """A text in the letters of a name, of whatever script: "Été à Zürich!" -> "été-à-zürich". "" when it has none."""
    text = unicodedata.normalize("NFKC", text).lower()
    return _cut("-".join("".join(c if is_key(c) and c != "-" else " " for c in text).split()), letters)


def free_name(stem: str, taken: Iterable[str], otherwise: str) -> str:
    """The stem, or `otherwise` where it is empty; with a number behind it where it is taken.

    Names that differ in case or in the way that letters are composed only count as the same: disks may take them so.
    """
    stem, there = stem or otherwise, {alike(name) for name in taken}
    name, n = stem, 2
    while alike(name) in there:
        name, n = f"{stem}-{n}", n + 1
    return name


def edit_name(video: str, prompt: str, taken: Iterable[str]) -> str:
    """`VIDEO--PROMPT`, and a number where that is taken."""
    return free_name(_cut(f"{video}--{slug(prompt) or 'edit'}", LETTERS), taken, "edit")


def _cut(text: str, letters: int) -> str:
    """The beginning of a text: not more than so many letters, nor more bytes than a file's name can have."""
    text = text[:letters]
    while len(text.encode()) > BYTES:
        text = text[:-1]
    return text.rstrip("-_")


def alike(name: str) -> str:
    return unicodedata.normalize("NFKC", name.casefold())
