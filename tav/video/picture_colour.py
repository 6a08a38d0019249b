"""The pixels of a picture as 8-bit sRGB on white, whatever its depth, its profile and its transparency."""

import io
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tav.params import UserError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

STRIP = 1 << 20
"""Pixels that are converted at a time."""
OUTSIDE = 0.5
"""How far a float may lie outside of 0..1, as a sharpening resize leaves it."""
MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
"""ICC's colour spaces, and Pillow's modes of the same."""


class Depth(NamedTuple):
    """How the numbers of a grey picture of more than 8 bits become 8."""

    shift: int | None
    """Bits to cut. None: floats from 0 to 1."""
    signed: bool
    inverted: bool
    """White is 0."""


def over_white(rgba: np.ndarray) -> np.ndarray:
    """uint8 (... 4) -> uint8 (... 3), as a browser shows it on a white page."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def srgb_on_white(image: "Image") -> np.ndarray:
    """uint8 (h w 3), sRGB: profiles converted, transparent parts on white, more than 8 bits cut to 8.

    Goes in strips, so that it takes little more memory than the picture and its result.
    Raises UserError for numbers whose white can't be told.
    """
    depth = depth_of(image) if image.mode[0] in "IF" else None
    rows = max(1, STRIP // image.width)
    out = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, rows):
        bottom = min(image.height, top + rows)
        strip = image.crop((0, top, image.width, bottom))
        out[top:bottom] = _converted(_eight_bits(strip, depth) if depth else strip)
    return out


def depth_of(image: "Image") -> Depth:
    """How the numbers of a picture with mode I, I;16 or F are meant. Raises UserError when white can't be told."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    inverted = tags.get(262) == 0  # PhotometricInterpretation
    if image.mode == "F":
        low, high = _range(image)
        if not (low >= -OUTSIDE and high <= 1 + OUTSIDE):  # NaN too
            raise UserError(f"its floats go from {low:g} to {high:g}, where 0 to 1 is expected: save it in 16 bits")
        return Depth(None, True, inverted)
    bits = max(tags.get(258, (16,)))  # BitsPerSample; Pillow scales a PGM to 16
    signed = max(tags.get(339, (1,))) == 2  # SampleFormat
    if bits == 32:
        low, high = _range(image)
        white = 2 ** (32 - signed) - 1
        if low >= 0 and 0 < high < 1 << 16:
            raise UserError(f"its values end at {high:g}, where white is {white}: save it in 8 or 16 bits")
    return Depth(bits - 8 - signed, signed, inverted)


def _range(image: "Image") -> tuple[float, float]:
    values = np.asarray(image)
    return float(values.min()), float(values.max())


def _eight_bits(strip: "Image", depth: Depth) -> "Image":
    """Grey of 8 bits, with an alpha where one of the levels stands for transparent."""
    from PIL import Image

    values = np.asarray(strip)
    if depth.shift is None:
        grey = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    elif depth.signed:
        grey = (values.clip(0) >> depth.shift).astype(np.uint8)
    else:
        grey = (values.astype(np.uint32) >> depth.shift).astype(np.uint8)
    new = Image.fromarray(255 - grey if depth.inverted else grey)
    if isinstance(level := strip.info.get("transparency"), int):
        new.putalpha(Image.fromarray(np.where(values == level, 0, 255).astype(np.uint8)))
    new.info["icc_profile"] = strip.info.get("icc_profile")
    return new


def _converted(image: "Image") -> np.ndarray:
    """uint8 (h w 3), sRGB on white, of a picture with 8 bits a channel."""
    rgba = image.convert("RGBA") if image.has_transparency_data else None
    if image.mode in ("1", "L", "LA", "La"):
        colours = image.convert("L")
    else:
        colours = image if image.mode in ("CMYK", "LAB") else (rgba or image).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile or image.mode == "LAB":
        colours = _by_profile(colours, profile or b"")
    rgb = np.asarray(colours.convert("RGB"))
    return over_white(np.dstack([rgb, np.asarray(rgba)[..., 3]])) if rgba else rgb


def _by_profile(colours: "Image", profile: bytes) -> "Image":
    """sRGB of what the profile describes; as it was where the profile is broken, of another kind, or sRGB itself."""
    from PIL import Image

    transforms = _to_srgb(b"" if colours.mode == "LAB" else profile)
    if colours.mode == "L" and "RGB" in transforms:  # grey among colours, with their profile
        colours = colours.convert("RGB")
    transform = transforms.get(colours.mode)
    if not transform:
        return colours
    if colours.mode == "L":
        levels = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        return Image.fromarray(np.asarray(_transformed(levels, transform))[0][np.asarray(colours)])
    return _transformed(colours, transform)


def _transformed(colours: "Image", transform: "ImageCmsTransform") -> "Image":
    from PIL import ImageCms

    return ImageCms.applyTransform(colours, transform) or colours


@lru_cache(maxsize=8)
def _to_srgb(profile: bytes) -> "dict[str, ImageCmsTransform]":
    """The transform from a profile to sRGB under the mode that it takes; none where there is nothing to do.

    b"": CIE Lab, which has no profile.
    """
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile) if profile else ImageCms.createProfile("LAB"))
        mode = MODES.get(source.profile.xcolor_space, "")
        exact = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE  # else dark grey is off by 10 levels
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", flags=exact)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return {}
    return {} if mode in ("RGB", "L") and _keeps_colours(transform, mode) else {mode: transform}


def _keeps_colours(transform: "ImageCmsTransform", mode: str) -> bool:
    """Whether it moves no colour by more than a level: so an sRGB profile leaves every pixel as it is."""
    from PIL import Image

    steps = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(len(steps), -1, 3)
    grid = Image.fromarray(colours if mode == "RGB" else colours[..., 0])
    moved = np.asarray(_transformed(grid, transform)).astype(int) - np.asarray(grid.convert("RGB"))
    return int(np.abs(moved).max()) <= 1
