"""Chance: where a part lies, from where it is seen, how it is lit and on what. Nothing here traces a ray.

The world is right-handed with Z up, its unit the LDU, and the table is the plane z = 0. Colours are linear
RGB (not sRGB) once they are in a scene.
"""

import hashlib
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from legoclf.data.ground import Ground, random_ground
from legoclf.data.stable_poses import Poses

Floats: TypeAlias = NDArray[np.float32]

# A change that alters the pixels must raise it: render.json keeps a data set from mixing two renderers.
RENDERER_VERSION = 1

ELEVATION_DEG = (25.0, 85.0)
DISTANCE_RADII = (5.0, 14.0)  # the camera's distance in radii of the part: how strong the perspective is
FRAME_SHARE = (0.45, 0.85)  # the longer side of the part's box in the frame, as a share of the frame
EDGE_SHARE = 0.03  # the frame's edge that stays free
LOWEST_CONTRAST = 0.22  # between part and table, as a distance of sRGB values in 0..1


class Camera(NamedTuple):
    """A pinhole. ``axes`` [3, 3] has rows right, down, forward; a pixel (x, y) looks along
    ``(x - centre[0]) / focal_px * right + (y - centre[1]) / focal_px * down + forward``.
    """

    position: Floats
    axes: Floats
    focal_px: float
    centre: tuple[float, float]


class Light(NamedTuple):
    """The key light and the sky. ``irradiance`` RGB is what a surface facing the light gets; the light is a
    disc of angular radius ``atan(radius)``. The sky's radiance goes from ``horizon`` to ``zenith``; ``boxes``
    [B, 5] are windows in it: direction, sharpness, radiance.
    """

    direction: Floats
    radius: float
    irradiance: Floats
    zenith: Floats
    horizon: Floats
    boxes: Floats


class Sensor(NamedTuple):
    """What the camera does to the light: gain RGB, blur and noise (standard deviations), corner falloff."""

    gain: Floats
    blur_px: float
    noise: float
    vignette: float


class Scene(NamedTuple):
    """All that one image is made of. ``turn`` [3, 3] and ``shift`` [3] place the part's vertices."""

    turn: NDArray[np.float64]
    shift: NDArray[np.float64]
    colour: Floats
    roughness: float
    camera: Camera
    light: Light
    ground: Ground
    sensor: Sensor


def image_rng(seed: int, part_id: str, index: int, size: int) -> np.random.Generator:
    """The random numbers of one image: the same for the same arguments, whatever else is rendered."""
    text = f"{RENDERER_VERSION}/{seed}/{part_id}/{index}/{size}"
    key = int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def linear(srgb: object) -> Floats:
    """sRGB values in 0..1 to linear light (IEC 61966-2-1)."""
    value = np.asarray(srgb, np.float32)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def turned(vectors: NDArray[np.floating], turn: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rotation ``turn`` [3, 3] of ``vectors`` [..., 3]. Not by BLAS, whose last digits may depend on the
    number of its threads: the same seed gives the same pixels.
    """
    return np.einsum("...i,ji->...j", vectors.astype(np.float64), turn)


def random_scene(
    rng: np.random.Generator, vertices: Floats, poses: Poses, colours: NDArray[np.float64], size: int
) -> Scene:
    """A scene for a part with ``vertices`` [V, 3], in one of ``colours`` [C, 3] (sRGB, 0..1)."""
    turn, shift = _lay_down(rng, vertices, poses)
    placed = turned(vertices, turn) + shift
    srgb = np.clip(colours[rng.integers(len(colours))] + rng.normal(0, 0.012, 3), 0.01, 0.96)
    for _ in range(12):
        ground = random_ground(rng)
        if np.linalg.norm(np.asarray(ground.mean_srgb) - srgb) >= LOWEST_CONTRAST:
            break
    return Scene(
        turn=turn,
        shift=shift,
        colour=linear(srgb),
        roughness=float(rng.uniform(0.26, 0.46)),
        camera=_random_camera(rng, placed, size),
        light=_random_light(rng),
        ground=ground,
        sensor=_random_sensor(rng, size),
    )


def _lay_down(
    rng: np.random.Generator, vertices: Floats, poses: Poses
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A pose by its chance, turned about the vertical, its lowest point on the table, its box centred."""
    chosen = poses.turns[rng.choice(len(poses.chances), p=poses.chances)]
    yaw = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ chosen
    placed = turned(vertices, turn)
    low, high = placed.min(axis=0), placed.max(axis=0)
    middle = (low + high) / 2
    return turn, np.array([-middle[0], -middle[1], -low[2]])


def _random_camera(rng: np.random.Generator, placed: NDArray[np.float64], size: int) -> Camera:
    """A camera that has the whole part in the frame: the lens is chosen for the part's box on the sensor,
    and the sensor is shifted (as by cropping a photo) so that the box falls anywhere it fits.
    """
    low, high = placed.min(axis=0), placed.max(axis=0)
    middle = (low + high) / 2
    radius = float(np.linalg.norm(high - low)) / 2
    elevation = np.radians(rng.uniform(*ELEVATION_DEG))
    azimuth = rng.uniform(0, 2 * np.pi)
    away = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    position = middle + away * radius * rng.uniform(*DISTANCE_RADII)
    forward = -away
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    roll = np.radians(rng.normal(0, 6))
    right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    axes = np.stack([right, down, forward])
    seen = turned(placed - position, axes)
    flat = seen[:, :2] / seen[:, 2:]
    box_low, box_high = flat.min(axis=0), flat.max(axis=0)
    focal_px = size * rng.uniform(*FRAME_SHARE) / float((box_high - box_low).max())
    room = size * (1 - 2 * EDGE_SHARE) - focal_px * (box_high - box_low)
    # Photos of one thing have it near the middle more often than at the edge.
    corner = size * EDGE_SHARE + room * rng.beta(2.5, 2.5, 2)
    centre = corner - focal_px * box_low
    return Camera(
        position.astype(np.float32),
        axes.astype(np.float32),
        float(focal_px),
        (float(centre[0]), float(centre[1])),
    )


def _random_light(rng: np.random.Generator) -> Light:
    """A key light of random height, size and warmth, and a sky that is brighter the softer the key is."""
    direction = _direction(rng.uniform(28, 78), rng.uniform(0, 360))
    warmth = rng.uniform(-1, 1)
    tint = np.array([1 + 0.13 * warmth, 1.0, 1 - 0.17 * warmth])
    share = rng.uniform(0.3, 0.8)  # of the light on the table that comes from the key
    level = rng.uniform(0.75, 1.1)  # 1.0: a white table comes out just white
    key = level * share / max(float(direction[2]), 0.5)
    sky_level = level * (1 - share) / np.pi
    sky_tint = np.array([1 - 0.07 * warmth, 1.0, 1 + 0.09 * warmth])
    slant = rng.uniform(0.6, 1.25)
    boxes = [
        [*_direction(rng.uniform(25, 80), rng.uniform(0, 360)), rng.uniform(12, 70), rng.uniform(1.0, 4.5)]
        for _ in range(rng.integers(1, 4))
    ]
    return Light(
        direction=direction.astype(np.float32),
        radius=float(rng.uniform(0.03, 0.3)),
        irradiance=(key * tint).astype(np.float32),
        zenith=(sky_level * sky_tint * (2 - slant)).astype(np.float32),
        horizon=(sky_level * sky_tint * slant).astype(np.float32),
        boxes=np.array(boxes, np.float32),
    )


def _direction(elevation_deg: float, azimuth_deg: float) -> NDArray[np.float64]:
    elevation, azimuth = np.radians(elevation_deg), np.radians(azimuth_deg)
    flat = np.cos(elevation)
    return np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])


def _random_sensor(rng: np.random.Generator, size: int) -> Sensor:
    gain = 1 + rng.normal(0, 0.03, 3)
    return Sensor(
        gain=gain.astype(np.float32),
        blur_px=float(rng.uniform(0.0, 0.75) * np.sqrt(size / 224)),
        noise=float(rng.uniform(0.001, 0.011)),
        vignette=float(rng.uniform(0, 0.16)),
    )
