"""Draw scenes of the world at 64 pixels, and give the truth of each subject.

Made for training: what is drawn often is kept, and a subject touches only its part of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from emoji_world.backgrounds import Canvas, Picture
from emoji_world.backgrounds64 import PAINTERS
from emoji_world.render import FILL, MIPS, TONES, emoji_bitmap, recoloured
from emoji_world.world64 import NOUNS, Scene, Subject

WHITE = 0.97  # of the disc
BLUEPRINT = ([0, 0.5, 1], [(0.01, 0.07, 0.30), (0.10, 0.30, 0.72), (0.95, 0.98, 1.0)])
KEPT_COLOUR = 0.15  # of a picture in a style
HUE_STEP = 3  # degrees


@dataclass(frozen=True)
class Truth:
    """Where and what one subject of a picture is."""

    noun: str
    mask: NDArray[np.bool_]
    """(h w): where its disc can be seen"""
    x: float
    y: float
    """Its centre in shares of width and height"""
    hue: float
    """Degrees, [0, 360)"""


def render_scene(scene: Scene, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    """Draw one picture: uint8 (h w 3), RGB in [0, 255]. The same scene gives the same pixels."""
    picture: Picture = _background(scene.background, scene.shades, height, width) * np.float32(1 / 255)
    for subject in scene.subjects:
        _paste(picture, subject)
    return (_tone(picture, scene.style) * 255 + 0.5).clip(0, 255).astype(np.uint8)


def render_video(scenes: list[Scene], height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    """Draw a video, one scene a frame: uint8 (f h w 3)."""
    return np.stack([render_scene(scene, height, width) for scene in scenes])


def truths(scene: Scene, height: int = 64, width: int = 64) -> list[Truth]:
    """The truth of each subject, in their order."""
    y, x = np.mgrid[:height, :width] + 0.5
    found: list[Truth] = []
    hidden = np.zeros((height, width), bool)
    for subject in reversed(scene.subjects):
        radius = subject.size / 2 * min(height, width)
        disc = np.hypot(x - subject.x * width, y - subject.y * height) <= radius
        found.append(Truth(subject.noun, disc & ~hidden, subject.x, subject.y, subject.hue))
        hidden |= disc
    return found[::-1]


@lru_cache(maxsize=8192)
def _background(name: str, shades: int, height: int, width: int) -> NDArray[np.uint8]:
    side = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    canvas = Canvas((x + 0.5) / side, (y + 0.5) / side, np.random.default_rng(shades))
    picture = np.broadcast_to(PAINTERS[name](canvas), (height, width, 3))
    return (picture * 255 + 0.5).clip(0, 255).astype(np.uint8)


def _paste(picture: Picture, subject: Subject) -> None:
    """Draw the disc and the emoji on it, in place."""
    height, width = picture.shape[:2]
    radius = subject.size / 2 * min(height, width)
    x, y = subject.x * width, subject.y * height
    left, top = max(int(x - radius) - 1, 0), max(int(y - radius) - 1, 0)
    part = picture[top : int(y + radius) + 2, left : int(x + radius) + 2]
    if not part.size:
        return
    rows = np.arange(part.shape[0], dtype=np.float32)[:, None] + (top + 0.5 - y)
    columns = np.arange(part.shape[1], dtype=np.float32)[None] + (left + 0.5 - x)
    disc = np.clip(radius + 0.5 - np.sqrt(rows * rows + columns * columns), 0, 1)[..., None]
    part += (WHITE - part) * disc
    sticker = _sticker(subject, (x - left, y - top), radius, part.shape[1], part.shape[0])
    part *= 1 - sticker[..., 3:]
    part += sticker[..., :3]


def _sticker(
    subject: Subject, centre: tuple[float, float], radius: float, width: int, height: int
) -> NDArray[np.float32]:
    """The emoji on an empty canvas: float32 (h w 4), colours multiplied by alpha."""
    level = next((size for size in MIPS if size >= 2 * radius * FILL), MIPS[-1])
    emoji = _recoloured(subject.noun, round(subject.hue / HUE_STEP) * HUE_STEP % 360, level, subject.flip)
    matrix = cv2.getRotationMatrix2D((level / 2 - 0.5, level / 2 - 0.5), subject.rotation, 2 * radius * FILL / level)
    matrix[:, 2] += np.array(centre) - level / 2
    sticker: NDArray[np.float32] = cv2.warpAffine(emoji, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return sticker


@lru_cache(maxsize=16384)
def _recoloured(noun: str, hue: int, level: int, flip: bool) -> NDArray[np.float32]:
    """The emoji with its main hue turned to `hue`: float32 (level level 4), premultiplied."""
    emoji = emoji_bitmap(NOUNS[noun])
    return recoloured(emoji[:, ::-1] if flip else emoji, hue, level)


def _tone(picture: Picture, style: str) -> Picture:
    if style == "plain":
        return picture
    brightness = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    numbers = np.clip(brightness * 1023 + 0.5, 0, 1023).astype(np.int16)
    toned: Picture = (1 - KEPT_COLOUR) * _table(style)[numbers] + KEPT_COLOUR * picture
    return toned


@lru_cache
def _table(style: str) -> NDArray[np.float32]:
    """The colours of 1024 levels of brightness: float32 (1024 3)."""
    points, colours = (TONES | {"blueprint": BLUEPRINT})[style]
    levels = np.linspace(0, 1, 1024)
    channels = [np.interp(levels, points, channel) for channel in zip(*colours, strict=True)]
    return np.stack(channels, axis=-1).astype(np.float32)
