"""What the empty table would look like under the light of the moment, and where a picture differs from it.

Light falls unevenly, dims by and by, and a camera's automatic exposure and white balance change it at one
blow. All three multiply the table's picture by something smooth. So every frame has its light fitted anew:
a surface of second degree for each channel, from the pixels that show the table. The objects are the
outliers of that fit, and must cover less than half of the frame.

A shadow multiplies too, all channels about alike. So a pixel's difference from the table is split, as
Horprasert, Harwood and Davis did (A statistical approach for real-time robust background subtraction and
shadow detection, 1999), into brightness, along the table's own colour, and colour, across it.
"""

from typing import List, NamedTuple, Optional, Tuple

import numpy as np

#: The fit looks at about so many columns of the frame; light has no finer detail.
SAMPLES_ACROSS = 32

#: Levels from which on a pixel may be clipped, and tells nothing of the light.
CLIPPED_LEVEL = 250

#: Powers of y and of x in the terms of the surface: 1, x, y, x^2, xy, y^2.
DOWN = [0, 0, 1, 0, 1, 2]
ACROSS = [0, 1, 0, 2, 1, 0]

#: How many terms the first round of the fit has (a plane, for the start is rough), and the later ones.
ROUGH_TERMS = 3
ALL_TERMS = 6

#: The fit settles after 3 or 4 rounds where little lies on the table, after 7 where half of it is covered.
MOST_ROUNDS = 10

#: How noisy a picture is, is read off the residuals at this quantile: objects and shadows may cover the rest.
#: Of plain noise it is 1.28 standard deviations (of the length of three normal deviates).
RESIDUAL_PERCENT = 35

#: A sample is an outlier beyond so many times that residual, 4 standard deviations, and OUTLIER_LEVELS.
OUTLIER_RESIDUALS = 3.1
OUTLIER_LEVELS = 6.0

#: A pixel differs where it is off by more than so many times that residual: 5.4 standard deviations.
NOISE_RESIDUALS = 4.2


class Difference(NamedTuple):
    """Where a picture differs from the empty table.

    objects: uint8 [H, W], 255 where something is that no shadow explains.
    changed: uint8 [H, W], 255 where the picture is not that of the table, shadows included.
    light: float32 [H, W, 3], by what the table's picture was multiplied.
    residual: how far the picture is off the lit table where there is nothing, in levels.
    """

    objects: np.ndarray
    changed: np.ndarray
    light: np.ndarray
    residual: float


class TableLight:
    """The light on a table, for pictures of one size."""

    def __init__(self, height: int, width: int) -> None:
        step = max(1, width // SAMPLES_ACROSS)
        sampled = (slice(min(step, height) // 2, None, step), slice(step // 2, None, step))
        self._down, self._across = _powers(height), _powers(width)
        y, x = (powers[along] for powers, along in zip((self._down, self._across), sampled))
        terms = y[:, None, DOWN] * x[None, :, ACROSS]
        border = np.ones(terms.shape[:2], bool)
        border[2:-2, 2:-2] = False
        self._sampled = sampled
        self._terms = terms.reshape(-1, len(DOWN))
        self._border = border.ravel()

    def fit(self, picture: np.ndarray, table: Optional[np.ndarray]) -> Tuple[np.ndarray, float]:
        """The light of one picture.

        Args:
            picture: float32 [H, W, 3], levels.
            table: float32 [H, W, 3], the empty table under some other light; None for one of a single
                colour.

        Returns:
            light, float32 [H, W, 3], so that ``table * light`` is what the empty table would show now (the
            light alone, for a table of a single colour); and the residual of the fit in levels.
        """
        seen = picture[self._sampled].reshape(-1, 3).astype(np.float64)
        known = np.ones_like(seen)
        if table is not None:
            known = np.maximum(table[self._sampled].reshape(-1, 3), 1.0).astype(np.float64)
        usable: np.ndarray = np.all(seen < CLIPPED_LEVEL, axis=1)
        if usable.sum() < len(seen) // 4 or not (usable & self._border).any():
            usable[:] = True
        surface, residual = self._robust_surface(seen, known, usable)
        # Row by row: what multiplies 1, y and y^2 there is a polynomial in x.
        by_powers = np.zeros((3, 3, 3))
        by_powers[DOWN, ACROSS] = surface
        rows = np.matmul(self._across, by_powers).astype(np.float32).reshape(3, -1)
        light = self._down.astype(np.float32).dot(rows).reshape(len(self._down), -1, 3)
        return np.maximum(light, 1e-3), residual

    def _robust_surface(
        self, seen: np.ndarray, known: np.ndarray, usable: np.ndarray
    ) -> Tuple[np.ndarray, float]:
        """Coefficients [6, 3] of the surface, and the residual in levels.

        The start is the median of the frame's border, where objects lie least; each round leaves out
        what lies far from the surface of the round before.
        """
        terms = self._terms
        surface = np.zeros((terms.shape[1], 3))
        start = usable & self._border
        surface[0] = np.median(seen[start] / known[start], axis=0)
        kept_before = np.zeros(0, bool)
        for number in range(MOST_ROUNDS):
            degrees = ROUGH_TERMS if number == 0 else ALL_TERMS
            off = _residuals(terms, surface, seen, known)
            kept = usable & (off <= max(OUTLIER_LEVELS, OUTLIER_RESIDUALS * _typical(off[usable])))
            settled = number > 1 and np.array_equal(kept, kept_before)
            if settled or kept.sum() < 4 * degrees:
                break
            surface[:degrees] = _least_squares(terms[kept, :degrees], seen[kept], known[kept])
            kept_before = kept
        return surface, _typical(_residuals(terms, surface, seen, known)[usable])


def _powers(count: int) -> np.ndarray:
    """1, x and x^2, [count, 3], of the middles of ``count`` pixels that span -1 to 1."""
    x = (2.0 * np.arange(count) + 1.0) / count - 1.0
    return np.stack([np.ones_like(x), x, x * x], axis=1)


def _residuals(terms: np.ndarray, surface: np.ndarray, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
    """How far each sample [n, 3] is from the lit table, as a length over the channels, in levels."""
    expected = np.minimum(known * terms.dot(surface), 255.0)
    return np.sqrt(((seen - expected) ** 2).sum(axis=1))


def _typical(residuals: np.ndarray) -> float:
    return float(np.percentile(residuals, RESIDUAL_PERCENT))


def _least_squares(terms: np.ndarray, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Coefficients [degrees, 3] of the surface that, times the table, is nearest to the samples."""
    lit = terms[None] * known.T[:, :, None]
    normal = np.matmul(lit.transpose(0, 2, 1), lit)
    # A touch of ridge: samples all in one place leave some terms undetermined.
    normal += 1e-6 * normal[:, :1, :1] * np.eye(terms.shape[1])
    aim = np.matmul(lit.transpose(0, 2, 1), seen.T[:, :, None])
    return np.linalg.solve(normal, aim)[:, :, 0].T


def difference(
    picture: np.ndarray,
    table: Optional[np.ndarray],
    light: TableLight,
    contrast_levels: float,
    shadow_share: float,
) -> Difference:
    """Compare a picture with the empty table.

    Args:
        picture: float32 [H, W, 3], levels.
        table: as in :meth:`TableLight.fit`.
        contrast_levels: what an object differs by at least, as a length over the three channels.
        shadow_share: how dark a shadow may be, as a share of the table's brightness there.
    """
    import cv2

    lit, residual = light.fit(picture, table)
    expected = np.minimum(lit if table is None else lit * table, np.float32(255.0))
    least = max(float(contrast_levels), NOISE_RESIDUALS * residual)
    length = np.sqrt(_channel_sum(cv2.multiply(expected, expected)))
    brightness = _channel_sum(cv2.multiply(picture, expected)) / np.maximum(length, 1.0)
    off_colour = _channel_sum(cv2.multiply(picture, picture)) - brightness * brightness
    off_brightness = brightness - length
    objects = off_colour > least * least
    changed = off_colour + off_brightness * off_brightness > least * least
    objects |= off_brightness > least
    objects |= off_brightness < np.minimum((shadow_share - 1.0) * length, -least)
    white = np.uint8(255)
    return Difference(objects.view(np.uint8) * white, changed.view(np.uint8) * white, lit, residual)


def _channel_sum(values: np.ndarray) -> np.ndarray:
    """float32 [H, W] of float32 [H, W, 3]."""
    import cv2

    return cv2.transform(values, np.ones((1, 3), np.float32))


class LearntTable:
    """The empty table's picture, learnt from the first frames and kept up with slow changes.

    What differs from the table is never learnt: an object that rests stays an object.
    """

    def __init__(self, learn_frames: int, adapt_frames: int) -> None:
        self._learn_frames = learn_frames
        self._adapt_frames = adapt_frames
        self._seen: List[np.ndarray] = []
        self.picture: Optional[np.ndarray] = None
        self._usual_residual: Optional[float] = None

    def learn(self, picture: np.ndarray) -> None:
        """Take one more picture, uint8 [H, W, 3]; their median is the table when there are enough.

        A hand that moves through some of them does no harm.
        """
        self._seen.append(picture)
        if len(self._seen) == self._learn_frames:
            self.picture = np.median(np.stack(self._seen), axis=0).astype(np.float32)
            self._seen = []

    def is_strange(self, residual: float, contrast_levels: float) -> bool:
        """Whether most of a frame is off by what no noise explains: another table, or the camera moved."""
        if self._usual_residual is None:
            self._usual_residual = residual
        return residual > max(2 * self._usual_residual, contrast_levels / 2.0)

    def adapt(self, picture: np.ndarray, found: Difference) -> None:
        """Follow slow changes of the table's pattern, such as a shadow that wanders, where nothing lies.

        The light is taken out first, so that what lies under an object keeps the same scale as the rest.
        """
        import cv2

        same = cv2.bitwise_not(found.changed)
        cv2.accumulateWeighted(picture / found.light, self.picture, 1.0 / self._adapt_frames, mask=same)
