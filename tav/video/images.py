"""A folder of images as a video: one image a frame, in the order of their names."""

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tav.params import UserError
from tav.video.picture_colour import over_white as over_white
from tav.video.picture_colour import srgb_on_white
from tav.video.picture_kinds import FORMATS, is_called_picture, is_called_readable, is_raw, kind_of

if TYPE_CHECKING:
    from PIL.Image import Image

ORIENTATION = 0x0112
"""The tag of EXIF and TIFF: 1 to 8, of which 5 to 8 lie on their side."""
TEXT = 16 << 20
"""Bytes of one text in a PNG. Programs that make pictures keep their whole settings there."""


def image_files(folder: Path, among: list[Path] | None = None) -> list[Path]:
    """The images of a folder (`among`: of these files in it), told by their bytes, in natural order: 2 before 10.

    Other files are left aside, but never a picture. Raises UserError for one that can't be read.
    """
    files = [p for p in among or folder.iterdir() if not p.name.startswith(".")]
    images = [p for p in sorted(files, key=_natural) if _is_image(p)]
    if not images:
        raise UserError(
            f"the folder {folder} has no images: give a video file, or a folder of PNG, JPEG or WebP images"
        )
    return images


def image_size(file: Path) -> tuple[int, int]:
    """(width, height) as shown: turned as its metadata says. Decodes no pixels where it needs not. Raises UserError."""
    with _opened(file) as image:
        width, height = image.size
        turned = image.format != "TIFF" or ORIENTATION not in image.tag_v2  # type: ignore[attr-defined]
        return (height, width) if turned and _orientation(image, file) >= 5 else (width, height)


def common_size(files: list[Path]) -> tuple[int, int]:
    """The one (width, height) of all. Raises UserError when they differ."""
    first = image_size(files[0])
    for file in files:
        size = image_size(file)
        if size != first:
            raise UserError(
                f"the images of a video must have one size: {files[0]} is {first[0]}x{first[1]}, "
                f"{file.name} is {size[0]}x{size[1]}"
            )
    return first


def read_image(file: Path) -> np.ndarray:
    """uint8 (h w 3), sRGB: turned as its metadata says, transparent parts on white, 16 bits cut to 8.

    Raises UserError: damaged, or its colours can't be told.
    """
    with _opened(file) as image:
        image.load()  # turns a TIFF
        orientation = 1 if image.format == "TIFF" else _orientation(image, file)
        try:
            picture = srgb_on_white(image)
        except UserError as error:
            raise UserError(f"the image {file} can't be read: {error}") from None
    return np.ascontiguousarray(upright(picture, orientation))


def upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """(h w c) of an EXIF orientation from 1 to 8 -> (h w c) or (w h c) as it is shown. A view."""
    if orientation in (2, 3, 7, 8):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 6, 7):
        picture = picture[::-1]
    return picture.swapaxes(0, 1) if orientation >= 5 else picture


@contextmanager
def _opened(file: Path) -> "Iterator[Image]":
    """An image, its pixels not decoded yet. Whatever Pillow finds wrong with it, then or later, is a UserError."""
    from PIL import Image, PngImagePlugin, UnidentifiedImageError

    PngImagePlugin.MAX_TEXT_CHUNK = TEXT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Pillow's: of broken metadata, and of large pictures that it takes all the same
            with Image.open(file, formats=FORMATS) as image:
                yield image
    except (UserError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise UserError(_unread(file)) from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UserError(f"the image {file} has more than {limit} million pixels: make it smaller first") from None
    except Exception as error:  # decoders raise what they like
        if isinstance(error, OSError) and error.errno:
            raise UserError(f"can't read the image {file}: {error.strerror}") from None
        raise UserError(f"the image {file} is damaged ({error}): replace it") from None


def _orientation(image: "Image", file: Path) -> int:
    """1 to 8: what EXIF, ImageMagick's raw profile or XMP tell; 1 where they tell nothing or are broken."""
    from PIL import Image

    if image.format == "PNG" and _tells_behind_pixels(file):
        image.load()
    if image.format == "AVIF" and "exif" not in image.info:  # XMP has no say: Pillow makes EXIF of an AVIF's turn
        return 1
    try:
        value: Any = Image.Image.getexif(image).get(
            ORIENTATION
        )  # a PNG's own would decode it to look behind the pixels
    except Exception:  # broken metadata breaks anything
        return 1
    return int(value) if value in range(1, 9) else 1


def _tells_behind_pixels(png: Path) -> bool:
    """Whether a PNG has EXIF or text behind its pixels. Reads the heads of its chunks."""
    behind = False
    with png.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            behind = behind or kind == b"IDAT"
            if behind and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            file.seek(length + 4, 1)  # its CRC
    return False


def _is_image(file: Path) -> bool:
    """Whether a file of the folder is one of the images. Raises UserError for a picture that can't be read."""
    if not file.is_file():
        _check_no_picture(file)
        return False
    if is_raw(file):  # before Pillow finds the thumbnail in it
        raise UserError(_unread(file))
    try:
        with _opened(file):
            return True
    except UserError:
        if kind_of(file):
            raise
        return False


def _check_no_picture(entry: Path) -> None:
    """Raises UserError for a link to nothing, a pipe or a device that may be meant as one of the images."""
    if entry.is_symlink() and not entry.exists() and (is_called_picture(entry) or not entry.suffix):
        raise UserError(f"{entry} is a link to {entry.readlink()}, which isn't there: replace it or take it out")
    if is_called_picture(entry) and not entry.is_dir():
        raise UserError(f"{entry} is called an image and is no file: replace it or take it out")


def _unread(file: Path) -> str:
    """What to tell of a file that Pillow doesn't know."""
    kind = kind_of(file)
    if is_called_readable(file) and kind == file.suffix[1:].upper():
        return f"{file} is called an image and isn't one: replace it or take it out"
    return f"{file} is a picture that can't be read here ({kind}): convert it to PNG or JPEG, or take it out"


def _natural(file: Path) -> tuple[list[tuple[bool, int, str]], str]:
    """Sorts digits by their value and the rest as text."""
    parts = re.split(r"([0-9]+)", file.name.lower())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts], file.name
