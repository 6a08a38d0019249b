"""Procedural backgrounds, darker than the sticker, the same at every resolution.

Each takes a `Canvas` and gives float32 (h w 3) in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""float32 (h w 3) in [0, 1]"""
Plane = NDArray[np.float32]
"""float32 (h w)"""


@dataclass(frozen=True)
class Canvas:
    """Coordinates in shorter sides from the top left corner, and the scene's own randomness."""

    x: Plane
    y: Plane
    rng: np.random.Generator

    def grain(self, cells: int) -> Plane:
        """Smooth noise in [0, 1], drawn on a fixed grid so that it doesn't depend on the size."""
        grid = self.rng.random((cells, cells), dtype=np.float32)
        smooth: Plane = cv2.resize(grid, self.x.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return smooth

    def shade(self, red: float, green: float, blue: float) -> Picture:
        """(1 1 3): the colour, a little changed in tint and brightness."""
        tint = self.rng.uniform(0.85, 1.15) * self.rng.uniform(0.94, 1.06, 3)
        return (np.array([[[red, green, blue]]]) * tint).astype(np.float32)

    def edge(self, height: float, waves: float, depth: float) -> Plane:
        """Share of each pixel that lies below a wavy line."""
        phase, blur = self.rng.uniform(0, 6.3), self.x.shape[0]
        line = height + depth * np.sin(self.x * waves + phase)
        below: Plane = np.clip((self.y - line) * blur + 0.5, 0, 1).astype(np.float32)
        return below


def over(under: Picture, colour: Picture, share: Plane) -> Picture:
    return under + (colour - under) * share[..., None]


def _sky(canvas: Canvas) -> Picture:
    return canvas.shade(0.30, 0.44, 0.58) * (1 + 0.25 * canvas.y[..., None])


def beach(canvas: Canvas) -> Picture:
    horizon = canvas.rng.uniform(0.3, 0.45)
    sea = canvas.shade(0.06, 0.29, 0.42) * (0.9 + 0.2 * canvas.grain(24)[..., None])
    sand = canvas.shade(0.58, 0.46, 0.26) * (0.88 + 0.24 * canvas.grain(32)[..., None])
    picture = over(_sky(canvas), sea, canvas.edge(horizon, 0, 0))
    return over(picture, sand, canvas.edge(horizon + 0.2, canvas.rng.uniform(4, 9), 0.03))


def meadow(canvas: Canvas) -> Picture:
    horizon = canvas.rng.uniform(0.3, 0.45)
    hill = canvas.shade(0.10, 0.29, 0.12)
    grass = canvas.shade(0.16, 0.42, 0.12) * (0.75 + 0.5 * canvas.grain(28)[..., None])
    picture = over(_sky(canvas), hill, canvas.edge(horizon, canvas.rng.uniform(4, 7), 0.06))
    return over(picture, grass, canvas.edge(horizon + 0.16, canvas.rng.uniform(2, 5), 0.04))


def road(canvas: Canvas) -> Picture:
    horizon = canvas.rng.uniform(0.25, 0.35)
    asphalt = canvas.shade(0.24, 0.24, 0.26) * (0.85 + 0.3 * canvas.grain(36)[..., None])
    kerb = canvas.shade(0.44, 0.44, 0.44)
    picture = over(_sky(canvas) * 0.85, kerb, canvas.edge(horizon, 0, 0))
    picture = over(picture, asphalt, canvas.edge(horizon + 0.07, 0, 0))
    middle, phase = horizon + canvas.rng.uniform(0.32, 0.4), canvas.rng.uniform(0, 1)
    dash = (np.abs(canvas.y - middle) < 0.03) & ((canvas.x * 3 + phase) % 1 < 0.6)
    return over(picture, canvas.shade(0.62, 0.50, 0.10), dash.astype(np.float32))


def space(canvas: Canvas) -> Picture:
    night, cloud = canvas.shade(0.03, 0.03, 0.08), canvas.shade(0.20, 0.07, 0.26)
    picture = over(night, cloud, canvas.grain(4) ** 2)
    for _ in range(22):
        x, y = canvas.rng.uniform(0, canvas.x.max()), canvas.rng.uniform(0, canvas.y.max())
        distance = (canvas.x - x) ** 2 + (canvas.y - y) ** 2
        star = np.exp(-distance / 0.014**2) * canvas.rng.uniform(0.4, 1)
        picture = over(picture, canvas.shade(0.66, 0.66, 0.60), star.astype(np.float32))
    return picture


def city(canvas: Canvas) -> Picture:
    dusk = canvas.shade(0.36, 0.22, 0.34)
    picture = over(dusk, canvas.shade(0.52, 0.30, 0.24), np.clip(canvas.y, 0, 1))
    wall, light = canvas.shade(0.10, 0.11, 0.17), canvas.shade(0.62, 0.52, 0.20)
    width = 0.25
    column = ((canvas.x + canvas.rng.uniform(0, width)) // width).astype(int)
    roofs = canvas.rng.uniform(0.15, 0.5, 12)[column % 12]
    lit = canvas.rng.random((64, 64)) < 0.55
    cell_x, cell_y = canvas.x / 0.125, canvas.y / 0.125
    window = (np.abs(cell_x % 1 - 0.5) < 0.25) & (np.abs(cell_y % 1 - 0.5) < 0.25)
    window &= lit[cell_y.astype(int) % 64, cell_x.astype(int) % 64]
    house = (canvas.y > roofs).astype(np.float32)
    return over(over(picture, wall, house), light, house * window)


def sea(canvas: Canvas) -> Picture:
    depth = np.clip(canvas.y, 0, 1)
    picture = over(canvas.shade(0.06, 0.38, 0.50), canvas.shade(0.02, 0.10, 0.26), depth)
    slope, phase = canvas.rng.uniform(-0.5, 0.5), canvas.rng.uniform(0, 1)
    ray = np.clip(np.sin(6.3 * (canvas.x * 2 + canvas.y * slope + phase)), 0, 1) * (1 - depth) * 0.3
    picture = over(picture, canvas.shade(0.30, 0.60, 0.62), ray)
    for _ in range(9):
        x, y = canvas.rng.uniform(0, canvas.x.max()), canvas.rng.uniform(0, canvas.y.max())
        distance = np.sqrt((canvas.x - x) ** 2 + (canvas.y - y) ** 2)
        ring = np.exp(-(((distance - canvas.rng.uniform(0.025, 0.05)) / 0.014) ** 2)) * 0.8
        picture = over(picture, canvas.shade(0.36, 0.60, 0.66), ring.astype(np.float32))
    return picture


PAINTERS = {
    "beach": beach,
    "meadow": meadow,
    "road": road,
    "space": space,
    "city": city,
    "sea": sea,
}
