"""Emoji World at 64 pixels: more nouns, backgrounds and styles, and one or two subjects a picture.

What its caption does not say of a scene (hue, direction, shades, place, size) is free. The words
of the world at 32 pixels (`emoji_world/world.py`) are among these; that world stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import acos, cos, hypot, pi, sin, sqrt

import numpy as np

from emoji_world.world import BACKGROUNDS as FIRST_BACKGROUNDS
from emoji_world.world import COLOURS, PATHS
from emoji_world.world import NOUNS as FIRST_NOUNS
from emoji_world.world import STYLES as FIRST_STYLES

NOUNS = FIRST_NOUNS | {
    "frog": "\U0001f438",
    "owl": "\U0001f989",
    "crab": "\U0001f980",
    "butterfly": "\U0001f98b",
    "bus": "\U0001f68c",
    "rocket": "\U0001f680",
    "banana": "\U0001f34c",
    "flower": "\U0001f33b",
    "house": "\U0001f3e0",
    "guitar": "\U0001f3b8",
}
BACKGROUNDS = FIRST_BACKGROUNDS | {"snow": "in the snow", "room": "in a room"}
STYLES = FIRST_STYLES | {"blueprint": "a blueprint of"}
STYLE_ODDS = {"plain": 0.52, "photo": 0.16, "neon": 0.16, "blueprint": 0.16}
TWO_SUBJECTS = 1 / 3
"""The share of pictures with two."""
HIDDEN = 0.25
"""The share of a disc that another may hide."""
SIZES = ((64, 64), (64, 96), (96, 64))
"""Height and width of the pictures in training, px."""
AMPLITUDES = (0.8, 0.6, 0.45, 0.3, 0.2, 0.1)
"""Of the paths of two subjects: the first at which they don't hide each other."""

PLAIN_TEMPLATES = (
    "{subjects} {place}",
    "{subjects} moving {place}",
    "{subjects} {be} {place}",
    "there {be} {subjects} {place}",
    "{place}, {subjects}",
    "{subjects}, {place}",
)
STYLED_TEMPLATES = (
    "{style} {subjects} {place}",
    "{style} {subjects} moving {place}",
    "{style} {subjects}, {place}",
    "{place}, {style} {subjects}",
)


@dataclass(frozen=True)
class Subject:
    """One sticker on its disc. Its place is in shares of the picture's width and height."""

    noun: str
    colour: str | None
    """The word in the caption; None leaves the hue free."""
    hue: float
    """Degrees, [0, 360)."""
    flip: bool
    x: float
    y: float
    size: float
    """Diameter of the disc as a share of the shorter side."""
    rotation: float
    """Degrees, counter-clockwise."""


@dataclass(frozen=True)
class Scene:
    """One picture. Each of its subjects lies over those before it."""

    subjects: tuple[Subject, ...]
    background: str
    style: str
    shades: int
    """Seed of the background's shades, clutter and grain."""


def sample_scene(rng: np.random.Generator, *, num_subjects: int | None = None, shades: int = 2**31) -> Scene:
    """A scene drawn from `rng`, of as many subjects as given (1 or 2), else of two in a third.

    shades: how many seeds of backgrounds there are to draw from.
    """
    drawn = 2 if rng.random() < TWO_SUBJECTS else 1
    return Scene(
        subjects=_subjects(rng, num_subjects or drawn),
        background=str(rng.choice(list(BACKGROUNDS))),
        style=str(rng.choice(list(STYLES), p=list(STYLE_ODDS.values()))),
        shades=int(rng.integers(shades)),
    )


def _subjects(rng: np.random.Generator, number: int) -> tuple[Subject, ...]:
    nouns = rng.choice(list(NOUNS), number, replace=False)
    while True:
        subjects = tuple(_subject(rng, str(noun), alone=number == 1) for noun in nouns)
        if most_hidden(subjects) <= HIDDEN:
            return subjects


def _subject(rng: np.random.Generator, noun: str, alone: bool) -> Subject:
    colour = str(rng.choice(list(COLOURS))) if rng.random() < 0.5 else None
    hue = COLOURS[colour] + rng.uniform(-8, 8) if colour else rng.uniform(0, 360)
    margin, sizes = (0.27, (0.38, 0.62)) if alone else (0.22, (0.32, 0.44))
    return Subject(
        noun=noun,
        colour=colour,
        hue=float(hue % 360),
        flip=bool(rng.random() < 0.5),
        x=float(rng.uniform(margin, 1 - margin)),
        y=float(rng.uniform(margin, 1 - margin)),
        size=float(rng.uniform(*sizes)),
        rotation=float(rng.uniform(-12, 12)),
    )


def most_hidden(subjects: tuple[Subject, ...]) -> float:
    """The largest share of a disc that another covers, in a square picture (a wider one has less)."""
    pairs = [(one, other) for i, one in enumerate(subjects) for other in subjects[i + 1 :]]
    return max((_common(*pair) for pair in pairs), default=0.0)


def _common(one: Subject, other: Subject) -> float:
    """Area that two discs have in common, as a share of the smaller one."""
    small, large = sorted((one.size / 2, other.size / 2))
    apart = hypot(one.x - other.x, one.y - other.y)
    if apart >= small + large:
        return 0.0
    if apart <= large - small:
        return 1.0
    first = small**2 * acos((apart**2 + small**2 - large**2) / (2 * apart * small))
    second = large**2 * acos((apart**2 + large**2 - small**2) / (2 * apart * large))
    kite = (small + large) ** 2 - apart**2, apart**2 - (large - small) ** 2
    return (first + second - 0.5 * sqrt(kite[0] * kite[1])) / (pi * small**2)


def caption(scene: Scene, choice: int | np.random.Generator = 0) -> str:
    """The scene in words, by template number, or with a template and an order of the subjects drawn."""
    templates = PLAIN_TEMPLATES if scene.style == "plain" else STYLED_TEMPLATES
    phrases = [_phrase(subject) for subject in scene.subjects]
    if isinstance(choice, int):
        number = choice
    else:
        number = int(choice.integers(len(templates)))
        phrases = phrases[::-1] if choice.random() < 0.5 else phrases
    return templates[number].format(
        style=STYLES[scene.style],
        subjects=" and ".join(phrases),
        be="is" if len(phrases) == 1 else "are",
        place=BACKGROUNDS[scene.background],
    )


def _phrase(subject: Subject) -> str:
    words = f"{subject.colour} {subject.noun}" if subject.colour else subject.noun
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def words() -> list[str]:
    """Every word that a caption can hold, sorted."""
    templates = " ".join(PLAIN_TEMPLATES + STYLED_TEMPLATES)
    for field in ("{style}", "{subjects}", "{be}", "{place}", ","):
        templates = templates.replace(field, " ")
    parts = [templates, "a an and is are", *NOUNS, *COLOURS, *BACKGROUNDS.values(), *STYLES.values()]
    return sorted(set(" ".join(parts).split()))


def move(scene: Scene, paths: tuple[str, ...], num_frames: int) -> list[Scene]:
    """The scene in `num_frames` frames, each subject on its own path. Background and looks stay.

    A lone subject's path runs across the picture; two move about their own places, as far as they
    can without hiding each other by more than a quarter.

    Raises:
        ValueError: not one path of `PATHS` a subject.
    """
    if len(paths) != len(scene.subjects) or not set(paths) <= set(PATHS):
        raise ValueError(f"got paths {paths}, expected one a subject ({len(scene.subjects)}) of {', '.join(PATHS)}")
    times = [float(time) for time in np.linspace(0, 1, num_frames)]
    if len(paths) == 1:
        return [_at(scene, paths, time, 1.0, alone=True) for time in times]
    for amplitude in AMPLITUDES:
        frames = [_at(scene, paths, time, amplitude, alone=False) for time in times]
        if all(most_hidden(frame.subjects) <= HIDDEN for frame in frames):
            return frames
    return [scene] * num_frames


def _at(scene: Scene, paths: tuple[str, ...], time: float, amplitude: float, alone: bool) -> Scene:
    moved = []
    for subject, path in zip(scene.subjects, paths, strict=True):
        across, down, growth = _offset(path, time, phase=subject.x)
        way = 1 if subject.x < 0.5 else -1
        centre = (0.5, 0.5) if alone else (subject.x, subject.y)
        edge = subject.size / 2 if not alone else 0.0
        x, y = centre[0] + way * amplitude * across, centre[1] + amplitude * down
        size = subject.size * (1 + amplitude * growth)
        moved.append(replace(subject, x=min(max(x, edge), 1 - edge), y=min(max(y, edge), 1 - edge), size=size))
    return replace(scene, subjects=tuple(moved))


def _offset(path: str, time: float, phase: float) -> tuple[float, float, float]:
    """Across, down, and growth of the size at a time in [0, 1]."""
    even = (time - 0.5) * 0.46
    match path:
        case "straight":
            return even, 0.3 * even, 0.0
        case "bounce":
            return even, 0.18 - 0.34 * abs(sin(2 * pi * time)), 0.0
        case "circle":
            angle = 2 * pi * (0.9 * time + phase)
            return 0.2 * cos(angle), 0.2 * sin(angle), 0.0
        case "zoom":
            return 0.5 * even, 0.0, 0.5 * (time - 0.5)
        case _:  # pause: go, stand still, go on
            eased = 0.5 * min(time / 0.35, 1) + 0.5 * max((time - 0.65) / 0.35, 0)
            return (eased - 0.5) * 0.46, 0.0, 0.0
