"""Videos to add, many at once: the lines of a list, or what lies in a folder."""

import csv
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tav.complaints import complaints, listed, nearest, quoted
from tav.params import Section, UserError, Video, VideoEdit, check_key

COLUMNS = ("video", "caption", "prompt", "name")
VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".ivf", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".nut", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)


@dataclass(frozen=True)
class Wanted:
    """A video to add, with its edits."""

    source: Path
    """A video file, or a folder of images."""
    prompts: tuple[str, ...] = ()
    caption: str | None = None
    name: str | None = None
    """In params.yaml. None: made of the file's."""
    where: str = ""
    """Where it was asked for, as in "line 7": told in front of what is wrong with it."""


def wanted_from(source: Path, prompts: tuple[str, ...] = ()) -> tuple[list[Wanted], list[str]]:
    """What a list or a folder asks for, and what to tell of it. prompts: for each of its videos. Raises UserError."""
    if source.is_dir():
        return _in_folder(source, prompts)
    listed_videos, wrong = read_list(source)
    if wrong:
        raise UserError(f"{source.name}: {listed(wrong, '; ')}. Nothing was added")
    return [replace(one, prompts=(*one.prompts, *prompts)) for one in listed_videos], []


def read_list(file: Path) -> tuple[list[Wanted], list[str]]:
    """The videos of a CSV file, and what is wrong with its lines. Raises UserError where it can't be read at all.

    Its first line names the columns: `video` (a path, as seen from the file), and `caption`, `prompt`, `name` where
    they are wanted. A line is a video with one prompt; lines with the same video are one video with more prompts.
    """
    by_path: dict[Path, Wanted] = {}
    wrong: list[str] = []
    for line, row in _rows(file):
        where = f"line {line}"
        try:
            one = _wanted(row, file.parent, where)
            same = by_path.get(one.source)
            by_path[one.source] = _together(same, one) if same else one
        except UserError as error:
            wrong.append(f"{where}: {error}")
    if not by_path and not wrong:
        raise UserError(f"{file} names no videos: give a line to each, below {','.join(COLUMNS)}")
    return list(by_path.values()), wrong


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of the line where a row starts, and what it has under each column. Raises UserError."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"can't read the list {str(file)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not in UTF-8: save it as CSV in UTF-8") from None
    head = text.partition("\n")[0]
    between = next((sign for sign in ",;\t" if sign in head), ",")  # spreadsheets write what their country does
    reader = csv.reader(text.splitlines(keepends=True), delimiter=between, strict=True)
    columns: list[str] = []
    start = 1
    try:
        for row in reader:
            if not columns:
                columns = _columns(row, file)
            elif any(cell.strip() for cell in row):
                if len(row) > len(columns):
                    raise UserError(
                        f"{file.name}: line {start}: {len(row)} values for {len(columns)} columns: put a value that "
                        f"holds {quoted(between)} in double quotes. Nothing was added"
                    )
                yield start, dict(zip(columns, (cell.strip() for cell in row), strict=False))
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{file.name}: line {start}: is not CSV ({error}). Nothing was added") from None


def _columns(head: list[str], file: Path) -> list[str]:
    columns = [cell.strip().lower() for cell in head]
    for column in columns:
        if column not in COLUMNS:
            raise UserError(f"{file.name}: line 1: no column is called {quoted(column)}{nearest(column, COLUMNS)}")
    if "video" not in columns or len(set(columns)) < len(columns):
        raise UserError(f"{file.name}: line 1: expected a column `video`, and each column once, got {quoted(columns)}")
    return columns


def _wanted(row: dict[str, str], folder: Path, where: str) -> Wanted:
    if not row.get("video"):
        raise UserError("names no video")
    name = row.get("name") or None
    values: dict[str, Any] = {"path": row["video"], "caption": row.get("caption") or None, "extract": {}, "tune": {}}
    _check(Video, values)
    if row.get("prompt"):
        _check(VideoEdit, {"video": "x", "prompt": row["prompt"]})
    return Wanted(
        folder / row["video"],
        (row["prompt"],) if row.get("prompt") else (),
        row.get("caption") or None,
        None if name is None else check_key(unicodedata.normalize("NFC", name)),
        where,
    )


def _check(kind: type[Section], values: dict[str, Any]) -> None:
    """Raises UserError for what could not stand in params.yaml."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        raise UserError("; ".join(complaints(error, kind))) from None


def _together(first: Wanted, more: Wanted) -> Wanted:
    """Two lines of one video. Raises UserError where they contradict each other."""
    for what, old, new in (("caption", first.caption, more.caption), ("name", first.name, more.name)):
        if old is not None and new is not None and old != new:
            raise UserError(f"the {what} of {first.source.name} is {quoted(old)} in {first.where}, here {quoted(new)}")
    caption = first.caption if more.caption is None else more.caption
    return replace(first, prompts=first.prompts + more.prompts, caption=caption, name=first.name or more.name)


def _in_folder(folder: Path, prompts: tuple[str, ...]) -> tuple[list[Wanted], list[str]]:
    """Each video file of a folder, and each folder of images in it, in the order of their names."""
    from tav.video.picture_kinds import is_called_picture

    videos: list[Path] = []
    left_out: list[Path] = []
    for path in sorted(folder.iterdir()):
        pictures = path.is_dir() and not path.is_symlink() and any(map(is_called_picture, path.iterdir()))
        is_video = path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES
        (videos if (pictures or is_video) and not path.name.startswith(".") else left_out).append(path)
    if not videos:
        raise UserError(f"the folder {str(folder)!r} holds no video and no folder of images")
    notes = [f"left out, as no video: {listed([repr(path.name) for path in left_out], ', ')}"] if left_out else []
    return [Wanted(path, prompts, where=path.name) for path in videos], notes
