"""A video to add, as it lies somewhere: a file, or the images of a folder."""

import filecmp
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from tav.params import UserError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
SHOWN = 5
"""Names of what is left out."""


@dataclass(frozen=True)
class Footage:
    path: Path
    files: tuple[Path, ...]
    """The file alone, or a folder's images in their order."""
    size: str
    """As a person is told it."""
    is_folder: bool = False
    left_out: tuple[str, ...] = ()
    """What else lies in the folder, and why it is left out."""

    @property
    def suffix(self) -> str:
        """Of a copy. What no container is called by is no suffix but a part of the name."""
        suffix = self.path.suffix.strip().lower()
        return suffix if not self.is_folder and suffix[1:].isalnum() and suffix.isascii() else ""

    @property
    def stem(self) -> str:
        return self.path.name if self.is_folder else self.path.stem

    def is_same(self, there: Path) -> bool:
        """Whether a path holds the same, byte for byte."""
        if not self.is_folder:
            return there.is_file() and filecmp.cmp(self.path, there, shallow=False)
        names = [file.name for file in self.files]
        if not there.is_dir() or {file.name for file in there.iterdir()} != set(names):
            return False
        return filecmp.cmpfiles(self.path, there, names, shallow=False)[1:] == ([], [])

    def copy_to(self, fresh: Path) -> None:
        """Copy bytes alone: no modes, no links, nothing else that lies in the folder. Raises UserError."""
        if not self.is_folder:
            shutil.copyfile(self.path, fresh)
            return
        fresh.mkdir()
        for file in self.files:
            _copy_regular(file, fresh / file.name)


def look_at(path: Path) -> Footage:
    """Open a video and see that it is one. Raises UserError."""
    from tav.video import probe

    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UserError(f"can't open the video {str(path)!r}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        return _folder(path)
    if not stat.S_ISREG(mode):
        raise UserError(f"{str(path)!r} is {_kind(mode)}: give a video file, or a folder of images")
    info = probe(path)
    sound = ", with sound" if info.has_audio else ""
    return Footage(path, (path,), f"{info.width}x{info.height}, {info.fps:g} frames/s{sound}")


def _folder(path: Path) -> Footage:
    """The images among a folder's own files. A link is not followed, and nothing but files is opened."""
    from tav.video.images import common_size, image_files
    from tav.video.picture_kinds import is_called_picture

    files, left_out = [], []
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        kind = _kind(entry.stat(follow_symlinks=False).st_mode)
        if entry.name.startswith("."):
            left_out.append(f"{entry.name!r} (hidden)")
        elif not kind:
            files.append(path / entry.name)
        elif kind != "a folder" and is_called_picture(path / entry.name):
            raise UserError(
                f"{entry.path!r} is {kind}, and a video's images must be files of its own: "
                "put a copy of the image there, or take it out"
            )
        else:
            left_out.append(f"{entry.name!r} ({kind})")
    images = image_files(path, files) if files else []
    if not images:
        raise UserError(f"the folder {str(path)!r} has no images: give a video file, or a folder of images")
    width, height = common_size(images)
    left_out += [f"{file.name!r} (no image)" for file in files if file not in images]
    return Footage(path, tuple(images), f"{width}x{height}, {len(images)} images", True, tuple(left_out))


def lines_on_left_out(footage: Footage) -> list[str]:
    """One line about what is left out, or none."""
    names, more = footage.left_out[:SHOWN], len(footage.left_out) - SHOWN
    return [f"left out: {', '.join(names)}{f' and {more} more' if more > 0 else ''}"] if names else []


def _kind(mode: int) -> str:
    """What a path is that is no regular file; "" for a file."""
    return "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "no file")


def _copy_regular(file: Path, copy: Path) -> None:
    """Copy a file that is no link, also when it has become one since it was looked at."""
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"can't open the image {str(file)!r}: {error.strerror}") from None
    with os.fdopen(opened, "rb") as source:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise UserError(f"{str(file)!r} is no file any more: run it again")
        with copy.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
