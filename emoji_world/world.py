"""What is in Emoji World: nouns, backgrounds, styles, colours, captions and paths of motion.

A `Scene` is everything that a picture shows, drawn from a seeded generator. What its caption does
not say (hue, direction, shades, place, size) is free, so a network that looks at each frame alone
gives each frame another colour: sameness between frames can be seen and measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, pi, sin

import numpy as np

NOUNS = {
    "cat": "\U0001f431",
    "fox": "\U0001f98a",
    "lion": "\U0001f981",
    "chick": "\U0001f424",
    "fish": "\U0001f420",
    "car": "\U0001f697",
    "boat": "\u26f5",
    "apple": "\U0001f34e",
    "mushroom": "\U0001f344",
    "pumpkin": "\U0001f383",
    "star": "\u2b50",
    "tree": "\U0001f332",
}
NOTHING = "nothing"  # a scene's noun where no sticker is
BACKGROUNDS = {
    "beach": "on the beach",
    "meadow": "in a meadow",
    "road": "on a road",
    "space": "in space",
    "city": "in a city",
    "sea": "under water",
}
STYLES = {"plain": "", "photo": "an old photo of", "neon": "a neon picture of"}
STYLE_ODDS = {"plain": 0.56, "photo": 0.22, "neon": 0.22}
COLOURS = {"red": 0, "yellow": 50, "green": 125, "blue": 215, "purple": 275, "pink": 325}  # degrees
PATHS = ("straight", "bounce", "circle", "zoom", "pause")

PLAIN_TEMPLATES = (
    "a {noun} {place}",
    "a {noun} moving {place}",
    "a {noun} is {place}",
    "there is a {noun} {place}",
    "{place}, a {noun}",
    "a {noun}, {place}",
)
STYLED_TEMPLATES = (
    "{style} a {noun} {place}",
    "{style} a {noun} moving {place}",
    "{style} a {noun}, {place}",
    "{place}, {style} a {noun}",
)


@dataclass(frozen=True)
class Scene:
    """One picture. Places and sizes are shares of the picture's width and height."""

    noun: str
    background: str
    style: str
    colour: str | None
    """The word in the caption; None leaves the hue free."""
    hue: float
    """Degrees, [0, 360)."""
    flip: bool
    x: float
    y: float
    size: float
    """Diameter of the sticker as a share of the shorter side."""
    rotation: float
    """Degrees, counter-clockwise."""
    shades: int
    """Seed of the background's shades, clutter and grain."""


def sample_scene(
    rng: np.random.Generator,
    *,
    noun: str | None = None,
    background: str | None = None,
    style: str | None = None,
    colour: str | None = None,
) -> Scene:
    """A scene drawn from `rng`; what is given stays as given.

    Without a colour every second scene has one that its caption names.
    """
    drawn_colour = str(rng.choice(list(COLOURS))) if rng.random() < 0.5 else None
    colour = colour or drawn_colour
    hue = COLOURS[colour] + rng.uniform(-8, 8) if colour else rng.uniform(0, 360)
    return Scene(
        noun=noun or str(rng.choice(list(NOUNS))),
        background=background or str(rng.choice(list(BACKGROUNDS))),
        style=style or str(rng.choice(list(STYLES), p=list(STYLE_ODDS.values()))),
        colour=colour,
        hue=float(hue % 360),
        flip=bool(rng.random() < 0.5),
        x=float(rng.uniform(0.25, 0.75)),
        y=float(rng.uniform(0.27, 0.73)),
        size=float(rng.uniform(0.42, 0.66)),
        rotation=float(rng.uniform(-12, 12)),
        shades=int(rng.integers(2**31)),
    )


def caption(scene: Scene, template: int | np.random.Generator = 0) -> str:
    """The scene in words, by template number or with a template drawn from a generator."""
    templates = PLAIN_TEMPLATES if scene.style == "plain" else STYLED_TEMPLATES
    number = template if isinstance(template, int) else int(template.integers(len(templates)))
    noun = f"{scene.colour} {scene.noun}" if scene.colour else scene.noun
    words = templates[number].format(style=STYLES[scene.style], noun=noun, place=BACKGROUNDS[scene.background])
    return words.replace("a apple", "an apple")


def move(scene: Scene, path: str, num_frames: int) -> list[Scene]:
    """The scene in `num_frames` frames, its subject on a path. Background and looks stay.

    Raises:
        ValueError: path is none of `PATHS`.
    """
    if path not in PATHS:
        raise ValueError(f"got path {path!r}, expected one of {', '.join(PATHS)}")
    times = np.linspace(0, 1, num_frames)
    return [_at(scene, path, float(time)) for time in times]


def _at(scene: Scene, path: str, time: float) -> Scene:
    """The scene at a time in [0, 1]. Its own x and y choose the direction of the motion."""
    way = 1 if scene.x < 0.5 else -1
    across = 0.5 + way * (time - 0.5) * 0.46
    drift = 0.5 + (scene.y - 0.5) * 0.5
    match path:
        case "straight":
            return replace(scene, x=across, y=drift + (scene.y - 0.5) * (time - 0.5))
        case "bounce":
            return replace(scene, x=across, y=0.68 - 0.34 * abs(sin(2 * pi * time)))
        case "circle":
            angle = 2 * pi * (0.9 * time + scene.x)
            return replace(scene, x=0.5 + way * 0.2 * cos(angle), y=0.5 + 0.2 * sin(angle))
        case "zoom":
            return replace(scene, x=0.5 + 0.5 * (across - 0.5), y=drift, size=0.40 + 0.28 * time)
        case _:  # pause: go, stand still, go on
            eased = 0.5 * min(time / 0.35, 1) + 0.5 * max((time - 0.65) / 0.35, 0)
            return replace(scene, x=0.5 + way * (eased - 0.5) * 0.46, y=drift)
