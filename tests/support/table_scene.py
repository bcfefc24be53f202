"""Made pictures of a sorting table: shapes with shadows on a table, and where they are in truth.

Runs on Python 3.6 and 3.11; the same seed gives the same pictures.
"""

from typing import NamedTuple

import cv2
import numpy as np

#: BGR, as LEGO's colours look on a photo.
COLOURS = {
    "red": (35, 25, 190),
    "blue": (175, 85, 20),
    "yellow": (40, 200, 245),
    "green": (70, 140, 40),
    "black": (35, 32, 30),
    "white": (245, 245, 245),
    "tan": (150, 190, 215),
}

SKIN = (125, 155, 215)


class Thing(NamedTuple):
    """A brick-like shape: its middle, its sides in pixels, and its turn."""

    colour: tuple
    x: float
    y: float
    width: float = 60.0
    height: float = 40.0
    angle_deg: float = 0.0
    is_round: bool = False

    def at(self, x, y):
        return self._replace(x=x, y=y)


class Table(NamedTuple):
    """What the table looks like without anything on it.

    slope: how much brighter the right and the lower end is than the middle, as shares.
    vignette: how much darker the corners are, as a share.
    noise_levels: standard deviation of the sensor's noise.
    shadow_share: brightness in a shadow.
    pattern: float32 [H, W, 3] or None; the table's picture is multiplied by it.
    """

    height: int = 480
    width: int = 640
    colour: tuple = (215, 220, 222)
    slope: tuple = (0.0, 0.0)
    vignette: float = 0.0
    noise_levels: float = 0.0
    shadow_share: float = 0.75
    shadow_blur_px: float = 3.0
    pattern: object = None


class Painter:
    """Draws frames of one table."""

    def __init__(self, table, seed=0):
        self.table = table
        self._rng = np.random.RandomState(seed)
        shape = (table.height, table.width, 3)
        # Drawing normal deviates for each frame anew would take most of a test's time.
        self._noise = np.float32(self._rng.normal(0, 1, shape)) * np.float32(table.noise_levels)
        y, x = np.meshgrid(np.linspace(-1, 1, table.height), np.linspace(-1, 1, table.width), indexing="ij")
        light = 1 + table.slope[0] * x + table.slope[1] * y - table.vignette * (x * x + y * y) / 2
        self._light = np.float32(light)[:, :, None]
        self._plain = np.float32(np.broadcast_to(np.float32(table.colour), shape))
        if table.pattern is not None:
            self._plain = self._plain * np.float32(table.pattern)

    def draw(self, things=(), gain=1.0, hand=None):
        """A frame, uint8 BGR [H, W, 3].

        gain: number or three, by which exposure (and white balance) multiply.
        hand: (x, y) of the finger tips of an arm that comes in from the lower border.
        """
        picture = self._plain.copy()
        self._cast_shadows(picture, things)
        for thing in things:
            _paint_thing(picture, thing)
        if hand is not None:
            _paint_hand(picture, hand)
        picture *= self._light * np.float32(gain)
        if self.table.noise_levels:
            picture += self._rolled_noise()
        return np.uint8(np.clip(np.rint(picture), 0, 255))

    def _cast_shadows(self, picture, things):
        if self.table.shadow_share >= 1 or not things:
            return
        shade = np.zeros(picture.shape[:2], np.float32)
        for thing in things:
            reach = 0.2 * min(thing.width, thing.height)
            _fill(shade, _outline(thing.at(thing.x + reach, thing.y + reach)), 1.0)
        shade = cv2.GaussianBlur(shade, (0, 0), self.table.shadow_blur_px)
        picture *= (1 - (1 - self.table.shadow_share) * shade)[:, :, None]

    def _rolled_noise(self):
        down, across = self._rng.randint(0, self.table.height), self._rng.randint(0, self.table.width)
        noise = np.roll(np.roll(self._noise, down, axis=0), across, axis=1)
        return noise if self._rng.randint(2) else -noise


def true_box(thing):
    """(x, y, width, height) around a thing, without its shadow."""
    outline = _outline(thing)
    low, high = outline.min(axis=0), outline.max(axis=0)
    return (low[0], low[1], high[0] - low[0], high[1] - low[1])


def overlap(one, other):
    """Intersection over union of two boxes (x, y, width, height)."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(0.0, across) * max(0.0, down)
    return common / (one[2] * one[3] + other[2] * other[3] - common)


def wood(height, width, seed=0, depth=0.25):
    """A grain for ``Table.pattern``, float32 [H, W, 3], of mean 1."""
    rng = np.random.RandomState(seed)
    grain = cv2.GaussianBlur(np.float32(rng.normal(0, 1, (height, width))), (0, 0), sigmaX=25, sigmaY=1.5)
    grain = 1 + depth * grain / max(1e-6, float(np.abs(grain).max()))
    return np.float32(grain[:, :, None] * np.float32([0.95, 1.0, 1.05]))


def _outline(thing):
    """float32 [n, 2], the corners of a thing, or points on its circle (then ``width`` is the diameter)."""
    if thing.is_round:
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        corners = np.stack([np.cos(turn), np.sin(turn)], axis=1) * thing.width / 2
    else:
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [thing.width / 2, thing.height / 2]
    angle = np.deg2rad(thing.angle_deg)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.float32(corners.dot(turned.T) + np.array([thing.x, thing.y]))


def _paint_thing(picture, thing):
    colour = np.float32(thing.colour)
    _fill(picture, _outline(thing), colour * 0.8)
    top = thing._replace(width=thing.width * 0.88, height=thing.height * 0.88)
    _fill(picture, _outline(top), colour)
    stud = min(thing.width, thing.height) * 0.28
    for side in (-1, 1):
        angle = np.deg2rad(thing.angle_deg)
        reach = side * thing.width * 0.22
        x, y = thing.x + reach * np.cos(angle), thing.y + reach * np.sin(angle)
        _fill(picture, _outline(Thing(thing.colour, x, y, stud, stud, is_round=True)), colour * 0.9 + 10)


def _paint_hand(picture, tips):
    """An arm from the lower border up to a palm and four fingers that end at ``tips``."""
    x, y = tips
    palm = max(20.0, picture.shape[1] * 0.06)
    for finger in (-1.2, -0.4, 0.4, 1.2):
        left, right = x + palm * (finger - 0.3), x + palm * (finger + 0.3)
        _fill(picture, [(left, y), (right, y), (right, y + palm * 2), (left, y + palm * 2)], SKIN)
    end = picture.shape[0] + 50
    arm = [(x - 1.6 * palm, y + 1.5 * palm), (x + 1.6 * palm, y + 1.5 * palm)]
    _fill(picture, [*arm, (x + 1.6 * palm, end), (x - 1.6 * palm, end)], np.float32(SKIN) * 0.95)


def _fill(picture, corners, colour):
    """Fill a polygon, its corners to a sixteenth of a pixel, its edge smooth."""
    # The centre of pixel 0 lies at 0.5.
    points = np.int32(np.rint((np.float32(corners) - 0.5) * 16))
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
    low = np.maximum(points.min(axis=0) // 16 - 2, 0)
    high = points.max(axis=0) // 16 + 3
    window = (slice(low[1], max(0, high[1])), slice(low[0], max(0, high[0])))
    share = mask[window].astype(np.float32) / 255
    if picture.ndim == 3:
        share = share[:, :, None]
    picture[window] += share * (np.float32(colour) - picture[window])


def rendered_brick(part_id, index, size):
    """A brick of `legoclf data render`, uint8 BGR [size, size, 3], and where it is, bool [size, size].

    Needs Python 3.11.
    """
    from legoclf.data.colours import choose_colours
    from legoclf.data.part_library import EmbeddedParts
    from legoclf.data.render_image import part_mask, prepare, render_image
    from legoclf.data.scene import image_rng, random_scene

    source = EmbeddedParts()
    model = prepare(source.mesh(part_id))
    rng = image_rng(0, part_id, index, size)
    colours = np.array(choose_colours(source)) / 255
    scene = random_scene(rng, model.mesh.vertices, model.poses, colours, size)
    picture = render_image(model, None, scene, size, rng)
    return picture[:, :, ::-1], part_mask(model, scene, size)


def paste(frame, picture, mask, left, top, shadow_share=0.75):
    """Put the masked part of a picture onto a frame, with a shadow; its box (x, y, width, height)."""
    reach = 6
    shade = np.zeros(frame.shape[:2], np.float32)
    height, width = mask.shape
    shade[top + reach : top + reach + height, left + reach : left + reach + width] = mask
    shade = cv2.GaussianBlur(shade, (0, 0), 3)
    frame[:] = np.rint(frame * (1 - (1 - shadow_share) * shade)[:, :, None])
    frame[top : top + height, left : left + width][mask] = picture[mask]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (left + columns[0], top + rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
