"""What a part lies on: card, a gradient, wood, paper, stone, cloth. Colour as a function of the place."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]  # float32 all through

KINDS = ("plain", "gradient", "wood", "paper", "stone", "cloth")
CHANCES = (0.24, 0.14, 0.18, 0.16, 0.16, 0.12)
WOODS = (
    ((0.80, 0.64, 0.45), (0.66, 0.47, 0.29)),
    ((0.55, 0.36, 0.22), (0.40, 0.24, 0.13)),
    ((0.87, 0.78, 0.65), (0.76, 0.64, 0.49)),
    ((0.44, 0.33, 0.26), (0.29, 0.20, 0.15)),
)


class Ground(NamedTuple):
    """A table. ``first`` and ``second`` are the sRGB colours that ``kind`` mixes; ``scale`` is in LDU."""

    kind: str
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    scale: float
    angle: float
    salt: int

    @property
    def mean_srgb(self) -> tuple[float, float, float]:
        """The middle of both colours."""
        red, green, blue = ((a + b) / 2 for a, b in zip(self.first, self.second, strict=True))
        return red, green, blue


def random_ground(rng: np.random.Generator) -> Ground:
    """A ground of random kind, colours, scale and direction."""
    kind = KINDS[rng.choice(len(KINDS), p=CHANCES)]
    first = _random_colour(rng)
    if kind == "wood":
        pair = WOODS[rng.integers(len(WOODS))]
        shade = rng.uniform(0.85, 1.1)
        first, second = (np.clip(np.array(colour) * shade, 0, 0.96) for colour in pair)
    elif kind == "gradient":
        second = np.clip(first * 0.45 + _random_colour(rng) * 0.55, 0, 1)
    elif kind == "paper":
        first = np.clip(rng.uniform(0.78, 0.95) + rng.normal(0, 0.015, 3), 0, 0.96)
        second = first * rng.uniform(0.93, 0.98)
    elif kind in ("stone", "cloth"):
        second = np.clip(first * rng.uniform(0.72, 0.92) + rng.normal(0, 0.02, 3), 0, 1)
    else:
        second = first
    scale = {"gradient": rng.uniform(120, 500), "wood": rng.uniform(14, 34), "paper": rng.uniform(1.2, 3)}
    return Ground(
        kind,
        _triple(first),
        _triple(second),
        float(scale.get(kind, rng.uniform(2.5, 9))),
        float(rng.uniform(0, 2 * np.pi)),
        int(rng.integers(2**31)),
    )


def ground_srgb(ground: Ground, places: Floats, footprint: Floats) -> Floats:
    """The colour float32 [N, 3] (sRGB) at ``places`` [N, 2] on the table (LDU).

    ``footprint`` [N] is what one pixel spans there (LDU): detail finer than that fades to its mean, as a
    camera would average it, so that no pattern flickers into moiré.
    """
    cos, sin = np.float32(np.cos(ground.angle)), np.float32(np.sin(ground.angle))
    x = (cos * places[:, 0] + sin * places[:, 1]) / np.float32(ground.scale)
    y = (cos * places[:, 1] - sin * places[:, 0]) / np.float32(ground.scale)
    pixel = footprint / np.float32(ground.scale)
    if ground.kind == "plain":
        mix: Floats = np.full(len(x), 0.5, np.float32)
    elif ground.kind == "gradient":
        mix = 0.5 + 0.5 * np.tanh(x)
    elif ground.kind == "wood":
        mix = _wood(x, y, pixel, ground.salt)
    elif ground.kind == "cloth":
        weave = np.sin(2 * np.pi * x) * np.sin(2 * np.pi * y) * _fade(pixel, 1.0)
        mix = 0.5 + 0.28 * weave + 0.6 * (_noise(x * 0.9, y * 0.9, ground.salt) - 0.5) * _fade(pixel, 0.9)
    else:
        mix = 0.5 + np.float32(1.5 if ground.kind == "stone" else 1.1) * _fractal(x, y, pixel, ground.salt, 4)
    first, second = (np.array(colour, np.float32) for colour in (ground.first, ground.second))
    share = np.clip(mix, 0, 1)[:, None].astype(np.float32)
    return first + (second - first) * share


def _wood(x: Floats, y: Floats, pixel: Floats, salt: int) -> Floats:
    """Rings of a trunk cut along its length: a distance bent by slow noise, with fine fibres over it."""
    bend = 2.2 * _fractal(x * np.float32(0.06), y * np.float32(0.45), pixel * np.float32(0.45), salt, 2)
    rings = np.sin(2 * np.pi * (y * np.float32(0.55) + bend)) * _fade(pixel, 0.55)
    fibres = _noise(x * np.float32(0.5), y * np.float32(9), salt + 7) - np.float32(0.5)
    return 0.5 + 0.33 * rings + 0.42 * fibres * _fade(pixel, 9.0)


def _fractal(x: Floats, y: Floats, pixel: Floats, salt: int, octaves: int) -> Floats:
    """Octaves of noise about 0, each twice as fine and half as strong."""
    total = np.zeros_like(x)
    for octave in range(octaves):
        total += (_noise(x, y, salt + octave) - np.float32(0.5)) * _fade(pixel, 1.0) * np.float32(0.6**octave)
        # A turn by each octave hides the grid that all of them are made on.
        x, y = np.float32(1.62) * x - np.float32(1.22) * y, np.float32(1.22) * x + np.float32(1.62) * y
        pixel = pixel * np.float32(2.03)
    return total


def _fade(pixel: Floats, frequency: float) -> Floats:
    """How much of a pattern of this frequency survives in a pixel that spans ``pixel`` of its units."""
    return 1 / (1 + (2 * np.float32(frequency) * pixel) ** 2)


def _noise(x: Floats, y: Floats, salt: int) -> Floats:
    """Value noise in 0..1: random values on the integer grid, joined smoothly (Perlin's quintic fade)."""
    column, row = np.floor(x), np.floor(y)
    u, v = x - column, y - row
    u = u * u * u * (u * (u * 6 - 15) + 10)
    v = v * v * v * (v * (v * 6 - 15) + 10)
    i, j = column.astype(np.int64), row.astype(np.int64)
    a, b, c, d = (_hash(i + di, j + dj, salt) for di, dj in ((0, 0), (1, 0), (0, 1), (1, 1)))
    top = a + (b - a) * u
    return top + (c + (d - c) * u - top) * v


def _hash(i: NDArray[np.int64], j: NDArray[np.int64], salt: int) -> Floats:
    """A fixed random number in 0..1 for each grid point (an integer hash after Wang's)."""
    h = (i * 374761393 + j * 668265263 + salt * 1442695041).astype(np.uint32)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def _random_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Mostly near-neutral as tables are, at times strong as coloured card is (sRGB)."""
    level = rng.uniform(0.12, 0.95) if rng.random() < 0.5 else rng.uniform(0.6, 0.95)
    spread = 0.025 if rng.random() < 0.65 else 0.15
    return np.clip(level + rng.normal(0, spread, 3), 0.04, 0.96)


def _triple(colour: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in colour)
    return red, green, blue
