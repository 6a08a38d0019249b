"""Draw a scene, or a video with its truth, at any size.

`python -m emoji_world.render --noun cat --background beach --path bounce --out cat.mp4`
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emoji_world.backgrounds import PAINTERS, Canvas, Picture, over
from emoji_world.world import (
    BACKGROUNDS,
    COLOURS,
    NOTHING,
    NOUNS,
    PATHS,
    STYLES,
    Scene,
    caption,
    move,
    sample_scene,
)

DEBIAN_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
BITMAP_SIZE = 109  # the only size that the font holds
FILL = 0.87  # radius of the emoji in the disc
MIPS = (16, 32, 64, 128)

# Each style maps brightness to a colour, at these points of brightness.
TONES = {
    "photo": ([0, 0.5, 1], [(0.13, 0.08, 0.04), (0.56, 0.42, 0.24), (1.0, 0.92, 0.72)]),
    "neon": (
        [0, 0.3, 0.55, 1],
        [(0.05, 0.0, 0.22), (0.45, 0.0, 0.62), (0.95, 0.20, 0.68), (0.62, 1.0, 1.0)],
    ),
}


def render_scene(scene: Scene, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    """Draw one picture: uint8 (h w 3), RGB in [0, 255]. The same scene gives the same pixels.

    Small pictures are drawn larger and averaged, so they look like a large one made small.
    """
    scale = max(1, -(-64 // min(height, width)))
    picture = _draw(scene, height * scale, width * scale)
    if scale > 1:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return (picture * 255 + 0.5).clip(0, 255).astype(np.uint8)


def _draw(scene: Scene, height: int, width: int) -> Picture:
    side = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    picture = _background(scene.background, scene.shades, height, width)
    if scene.noun == NOTHING:
        return _tone(picture, scene.style)
    centre = scene.x * width, scene.y * height
    radius = scene.size / 2 * side
    distance = np.hypot(x + 0.5 - centre[0], y + 0.5 - centre[1])
    disc = np.clip(radius - distance + 0.5, 0, 1)
    picture = over(picture, np.full((1, 1, 3), 0.97, np.float32), disc)
    sticker = _place(scene, centre, radius, height, width)
    picture = picture * (1 - sticker[..., 3:]) + sticker[..., :3]
    return _tone(picture, scene.style)


@lru_cache(maxsize=3072)  # training draws each of 6 x 512 backgrounds once
def _background(name: str, shades: int, height: int, width: int) -> Picture:
    side = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    canvas = Canvas((x + 0.5) / side, (y + 0.5) / side, np.random.default_rng(shades))
    return np.broadcast_to(PAINTERS[name](canvas), (height, width, 3)).astype(np.float32)


def _place(scene: Scene, centre: tuple[float, float], radius: float, height: int, width: int) -> NDArray[np.float32]:
    """The emoji on an empty canvas: float32 (h w 4), colours multiplied by alpha."""
    level = next((size for size in MIPS if size >= 2 * radius * FILL), MIPS[-1])
    emoji = _recoloured(scene.noun, round(scene.hue) % 360, level)
    matrix = cv2.getRotationMatrix2D((level / 2 - 0.5, level / 2 - 0.5), scene.rotation, 2 * radius * FILL / level)
    matrix[:, 2] += np.array(centre) - level / 2
    emoji = emoji[:, ::-1] if scene.flip else emoji
    sticker: NDArray[np.float32] = cv2.warpAffine(emoji, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return sticker


@lru_cache(maxsize=8192)
def _recoloured(noun: str, hue: int, level: int) -> NDArray[np.float32]:
    """The emoji with its main hue turned to `hue`: float32 (level level 4), premultiplied."""
    return recoloured(emoji_bitmap(NOUNS[noun]), hue, level)


def recoloured(emoji: NDArray[np.float32], hue: int, level: int) -> NDArray[np.float32]:
    """A bitmap with its main hue turned to `hue` degrees: float32 (level level 4), premultiplied."""
    hsv = cv2.cvtColor(np.ascontiguousarray(emoji[..., :3]), cv2.COLOR_RGB2HSV)
    weight = hsv[..., 1] * emoji[..., 3]
    main = np.rad2deg(np.angle((weight * np.exp(1j * np.deg2rad(hsv[..., 0]))).sum()))
    hsv[..., 0] = (hsv[..., 0] - main + hue) % 360
    colours = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * emoji[..., 3:]
    premultiplied = np.concatenate([colours, emoji[..., 3:]], axis=-1)
    small: NDArray[np.float32] = cv2.resize(premultiplied, (level, level), interpolation=cv2.INTER_AREA)
    return small


@lru_cache
def emoji_bitmap(character: str) -> NDArray[np.float32]:
    """The font's bitmap of an emoji, its enclosing circle fitted to the square: float32 (128 128 4)."""
    from PIL import Image, ImageDraw, ImageFont

    bitmap = Image.new("RGBA", (200, 200), (255, 255, 255, 0))
    font = ImageFont.truetype(font_path(), BITMAP_SIZE)
    ImageDraw.Draw(bitmap).text((30, 30), character, font=font, embedded_color=True)
    pixels = np.asarray(bitmap).astype(np.float32) / 255
    points = np.argwhere(pixels[..., 3] > 0.5)[:, ::-1].astype(np.float32)
    (x, y), radius = cv2.minEnclosingCircle(points)
    matrix = np.array([[64 / radius, 0, 64 - x * 64 / radius], [0, 64 / radius, 64 - y * 64 / radius]])
    fitted: NDArray[np.float32] = cv2.warpAffine(pixels, matrix, (128, 128), flags=cv2.INTER_LINEAR)
    return fitted


def font_path() -> Path:
    """Where Noto Color Emoji lies: Debian's place, else what fontconfig says.

    Raises:
        FileNotFoundError: it is not installed.
    """
    if DEBIAN_FONT.is_file():
        return DEBIAN_FONT
    try:
        command = ["fc-match", "--format=%{file}", "Noto Color Emoji"]
        found = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError):
        found = Path()
    if "NotoColorEmoji" not in found.name:
        raise FileNotFoundError(
            "got no font Noto Color Emoji on this machine, expected it as a system font: "
            "install it (Debian, Ubuntu: apt install fonts-noto-color-emoji)"
        )
    return found


def _tone(picture: Picture, style: str) -> Picture:
    if style not in TONES:
        return picture
    points, colours = TONES[style]
    brightness = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    toned = [np.interp(brightness, points, channel) for channel in zip(*colours, strict=True)]
    return (0.85 * np.stack(toned, axis=-1) + 0.15 * picture).astype(np.float32)


def render_video(scenes: list[Scene], height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    """Draw a video, one scene a frame: uint8 (f h w 3)."""
    return np.stack([render_scene(scene, height, width) for scene in scenes])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw a picture (.png) or a video (.mp4) of Emoji World.")
    parser.add_argument("--out", type=Path, required=True, help="the .png or .mp4 to write")
    parser.add_argument("--truth", type=Path, help="a .json to write: caption, and each frame's scene")
    choices: dict[str, Iterable[str]] = {"noun": NOUNS, "background": BACKGROUNDS, "style": STYLES, "colour": COLOURS}
    for name, known in choices.items():
        parser.add_argument(f"--{name}", choices=list(known), help="by default drawn from the seed")
    parser.add_argument("--path", choices=PATHS, default="straight", help="of a video; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of all that is not given; default: %(default)s")
    parser.add_argument("--frames", type=int, default=24, help="of a video; default: %(default)s")
    parser.add_argument("--fps", type=float, default=8, help="frames a second; default: %(default)s")
    parser.add_argument("--width", type=int, default=256, help="px; default: %(default)s")
    parser.add_argument("--height", type=int, default=256, help="px; default: %(default)s")
    return parser.parse_args()


def main() -> None:
    """Draw what the command line asks for, and print its caption."""
    asked = _arguments()
    known = {name: getattr(asked, name) for name in ("noun", "background", "style", "colour")}
    scene = sample_scene(np.random.default_rng(asked.seed), **known)
    if asked.out.suffix == ".png":
        from PIL import Image

        scenes = [scene]
        Image.fromarray(render_scene(scene, asked.height, asked.width)).save(asked.out)
    else:
        from tav.video import write_mp4

        scenes = move(scene, asked.path, asked.frames)
        write_mp4(asked.out, render_video(scenes, asked.height, asked.width), asked.fps)
    if asked.truth:
        truth = {"caption": caption(scene), "frames": [asdict(each) for each in scenes]}
        asked.truth.write_text(json.dumps(truth, indent=2) + "\n")
    print(caption(scene))


if __name__ == "__main__":
    main()
