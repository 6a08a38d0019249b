"""The backgrounds that only the world at 64 pixels has, beside those of `emoji_world/backgrounds.py`."""

from __future__ import annotations

import numpy as np

from emoji_world.backgrounds import PAINTERS as FIRST_PAINTERS
from emoji_world.backgrounds import Canvas, Picture, over


def snow(canvas: Canvas) -> Picture:
    """A grey-blue evening, flakes over all of it."""
    sky = canvas.shade(0.24, 0.28, 0.36) * (0.8 + 0.4 * canvas.y[..., None])
    ground = canvas.shade(0.50, 0.55, 0.62) * (0.92 + 0.16 * canvas.grain(20)[..., None])
    hill = canvas.shade(0.38, 0.43, 0.51)
    horizon = canvas.rng.uniform(0.35, 0.5)
    picture = over(sky, hill, canvas.edge(horizon, canvas.rng.uniform(4, 7), 0.06))
    picture = over(picture, ground, canvas.edge(horizon + 0.15, canvas.rng.uniform(2, 5), 0.04))
    flake = np.array([[[0.72, 0.75, 0.80]]], np.float32)
    for _ in range(30):
        x, y = canvas.rng.uniform(0, canvas.x.max()), canvas.rng.uniform(0, canvas.y.max())
        distance = (canvas.x - x) ** 2 + (canvas.y - y) ** 2
        picture = over(picture, flake, np.exp(-distance / canvas.rng.uniform(0.012, 0.02) ** 2).astype(np.float32))
    return picture


def room(canvas: Canvas) -> Picture:
    """Striped wallpaper over a floor of planks."""
    floor_line, stripe = canvas.rng.uniform(0.6, 0.72), canvas.rng.uniform(0.16, 0.22)
    paper, band = canvas.shade(0.46, 0.16, 0.18), canvas.shade(0.56, 0.34, 0.28)
    wood, gap = canvas.shade(0.38, 0.24, 0.13), canvas.shade(0.18, 0.11, 0.06)
    phase = canvas.rng.uniform(0, 1)
    striped = ((canvas.x / stripe + phase) % 1 < 0.45).astype(np.float32)
    planks = ((canvas.y - floor_line) / 0.085 % 1 < 0.16).astype(np.float32)
    wall = over(np.broadcast_to(paper, (*canvas.x.shape, 3)), band, striped)
    floor = over(wood * (0.85 + 0.3 * canvas.grain(24)[..., None]), gap, planks)
    picture = over(wall, floor, canvas.edge(floor_line, 0, 0))
    skirting = (np.abs(canvas.y - floor_line) < 0.02).astype(np.float32)
    return over(picture, canvas.shade(0.60, 0.52, 0.42), skirting)


PAINTERS = FIRST_PAINTERS | {"snow": snow, "room": room}
