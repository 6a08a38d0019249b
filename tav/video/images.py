"""A folder of images as a video: one image a frame, in the order of their names."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tav.params import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "GIF")  # Pillow knows more, and runs programs for some
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm", ".gif")


def image_files(folder: Path) -> list[Path]:
    """The images of a folder, told by their bytes, in natural order: 2.png before 10.png.

    Other files are left aside, but not one that is called an image and isn't. Raises UserError.
    """
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    images = [p for p in sorted(files, key=_natural) if _is_image(p)]
    if not images:
        raise UserError(
            f"the folder {folder} has no images: give a video file, or a folder of PNG, JPEG or WebP images"
        )
    return images


def image_size(file: Path) -> tuple[int, int]:
    """(width, height), turned as the image's EXIF says. Reads the header alone."""
    from PIL import Image

    with Image.open(file, formats=FORMATS) as image:
        told = image.format != "PNG" or "exif" in image.info  # else Pillow would decode a PNG to look behind its pixels
        turned = told and image.getexif().get(0x0112, 1) >= 5  # Orientation: 5 to 8 lie on their side
        return (image.height, image.width) if turned else image.size


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
    """uint8 (h w 3), RGB: turned as EXIF says, transparent parts on white, 16 bits cut to 8. Raises UserError."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=FORMATS) as image:
            upright = ImageOps.exif_transpose(image)
            return _rgb(upright)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"the image {file} is damaged ({error}): replace it") from None


def over_white(rgba: np.ndarray) -> np.ndarray:
    """uint8 (... 4) -> uint8 (... 3), as a browser shows it on a white page."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _rgb(image: "Image") -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits; convert("RGB") would clip, not scale
        grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        return over_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _is_image(file: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file, formats=FORMATS):
            return True
    except UnidentifiedImageError:
        if file.suffix.lower() in SUFFIXES:
            raise UserError(f"{file} is called an image and isn't one: replace it or take it out") from None
        return False


def _natural(file: Path) -> list[tuple[bool, int, str]]:
    """Sorts digits by their value and the rest as text."""
    parts = re.split(r"([0-9]+)", file.name.lower())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
