"""The table as the camera sees it, with the part's shadow: colour per pixel, also where the part hides it.

How much of the key light and of the sky a place sees is sampled a few rays per pixel: neighbouring pixels of
a small tile take different samples of one pattern, and the mean over the tile puts the pattern together. So
soft shadows cost few rays and show no grain ("interleaved sampling", Keller and Heidrich 2001).
"""

import numpy as np
from numpy.typing import NDArray

from legoclf.data.ground import ground_srgb
from legoclf.data.lighting import light_pattern, pixel_directions, table_light
from legoclf.data.raytrace import LIFT_LDU, PIXELS_AT_ONCE, Tracer, dot, hemisphere_pattern
from legoclf.data.scene import Camera, Floats, Scene, linear

KEY_RAYS, SKY_RAYS = 4, 2  # per pixel, to the key light and to the sky
GROUND_BOUNCE = 0.3  # how much of the light the part takes from the sky it gives back in its own colour


def ground_layer(tracer: Tracer, vertices: Floats, scene: Scene, size: int, tile: int) -> Floats:
    """Colours [size * size, 3] of the ground, with the part's shadow, also where the part will hide it."""
    light = scene.light
    count = size * size
    key, sky = np.ones(count, np.float32), np.ones(count, np.float32)
    cells = tile * tile
    to_light = light_pattern(light, cells * KEY_RAYS)
    to_sky = hemisphere_pattern(cells * SKY_RAYS)
    reach = float(np.sqrt((vertices[:, :2] ** 2).sum(axis=1).max()))
    height = float(vertices[:, 2].max())
    lowest = float(light.direction[2] - light.radius)
    shadow_reach = reach + height / max(lowest, 0.1)
    sky_reach = reach + 3 * height
    for start in range(0, count, PIXELS_AT_ONCE):
        pixels = np.arange(start, min(start + PIXELS_AT_ONCE, count))
        places, _ = _ground_places(scene.camera, pixels, size)
        far = np.sqrt(places[:, 0] ** 2 + places[:, 1] ** 2)
        cell = pixels // size % tile * tile + pixels % size % tile
        for kept, share, pattern in ((far < shadow_reach, key, to_light), (far < sky_reach, sky, to_sky)):
            near = np.flatnonzero(kept)
            origins = np.full((len(near), 3), LIFT_LDU, np.float32)
            origins[:, :2] = places[near]
            for first in range(0, len(pattern), cells):
                hidden = tracer.blocked(origins, pattern[first + cell[near]])
                share[pixels[near]] -= hidden * np.float32(cells / len(pattern))
    key, sky = (_box_mean(share.reshape(size, size), tile).ravel() for share in (key, sky))
    out = np.empty((count, 3), np.float32)
    open_sky = light.horizon + (light.zenith - light.horizon) * np.float32(2 / 3)
    bounce = scene.colour * table_light(light) * np.float32(GROUND_BOUNCE)
    for start in range(0, count, PIXELS_AT_ONCE):
        pixels = np.arange(start, min(start + PIXELS_AT_ONCE, count))
        places, footprint = _ground_places(scene.camera, pixels, size)
        albedo = linear(ground_srgb(scene.ground, places, footprint))
        key_part, sky_part = key[pixels, None], sky[pixels, None]
        direct = key_part * light.irradiance * light.direction[2]
        out[pixels] = albedo * (direct + sky_part * open_sky * np.float32(np.pi) + (1 - sky_part) * bounce)
    return out


def _ground_places(camera: Camera, pixels: NDArray[np.intp], size: int) -> tuple[Floats, Floats]:
    """Where pixel centres meet the table [N, 2], and what a pixel spans there [N]. A ray near or above the
    horizon is bent to just below it: the table runs on as a studio's backdrop does.
    """
    x = (pixels % size).astype(np.float32) + np.float32(0.5)
    y = (pixels // size).astype(np.float32) + np.float32(0.5)
    directions = pixel_directions(camera, x, y)
    length = np.sqrt(dot(directions, directions))
    fall = np.maximum(-directions[:, 2] / length, np.float32(0.03))
    distance = camera.position[2] / fall
    places = camera.position[:2] + directions[:, :2] * (distance / length)[:, None]
    return places, distance / np.float32(camera.focal_px) / np.sqrt(fall)


def _box_mean(plane: Floats, width: int) -> Floats:
    """The mean over ``width`` squared pixels (odd) about each; the border is repeated."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(plane, width, mode="nearest"), np.float32)
