"""The part as the camera sees it: a few jittered rays per pixel, shaded per pixel.

Light and sky are sampled as in :mod:`legoclf.data.ground_layer`, with a mean that stops at edges.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from legoclf.data.lighting import (
    GRAZING,
    PLASTIC_F0,
    highlight,
    light_pattern,
    mirrored_light,
    pixel_directions,
    table_light,
)
from legoclf.data.raytrace import LIFT_LDU, PIXELS_AT_ONCE, Tracer, dot, frames, hemisphere_pattern, unit
from legoclf.data.scene import Floats, Scene, linear, turned

RAYS_PER_SIDE = 2  # of a pixel: 4 rays each
OUTLINE_RAYS_PER_SIDE = 4  # of a pixel on the outline, for its coverage alone
SELF_BOUNCE = 0.55  # how bright a hidden corner of the part is, beside its open faces


class PartLayer(NamedTuple):
    """What the part's rays saw, per pixel of the box [rows, columns] at ``top``, ``left``; means over the
    rays that hit it. ``share`` is how much of the pixel it covers.
    """

    top: int
    left: int
    share: Floats
    weight: Floats  # share of the rays that hit it: what the means are made of
    albedo: Floats
    normal: Floats
    depth: Floats
    facing: Floats  # cosine to the key light
    lit: Floats  # share of the rays that face it
    seen: Floats  # of those, the part that sees it
    sky: Floats
    sky_height: Floats
    down: Floats


def part_layer(
    tracer: Tracer,
    vertices: Floats,
    face_colours: Floats | None,
    scene: Scene,
    size: int,
    tile: int,
    rng: np.random.Generator,
) -> PartLayer:
    camera = scene.camera
    seen = turned(vertices - camera.position, camera.axes)
    flat = seen[:, :2] / seen[:, 2:] * np.float32(camera.focal_px) + np.array(camera.centre, np.float32)
    left, top = np.maximum(np.floor(flat.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(flat.max(axis=0)).astype(int) + 1, size)
    rows, columns = int(bottom - top), int(right - left)
    box = _PartSampler(tracer, face_colours, scene, tile, float(np.ptp(vertices, axis=0).max()))
    bands = []
    rows_at_once = max(1, PIXELS_AT_ONCE // columns)
    for first in range(0, rows, rows_at_once):
        height = min(rows_at_once, rows - first)
        y, x = np.mgrid[first : first + height, :columns].reshape(2, -1)
        bands.append(box.sample(x + int(left), y + int(top), rng))
    sums = np.concatenate(bands, axis=1)
    hits = sums[0]
    mean = sums / np.maximum(hits, 1)
    planes = mean.reshape(-1, rows, columns).astype(np.float32)
    weight = (hits / RAYS_PER_SIDE**2).reshape(rows, columns).astype(np.float32)
    return PartLayer(
        top=int(top),
        left=int(left),
        share=_outline(tracer, scene, weight, int(top), int(left)),
        weight=weight,
        albedo=np.moveaxis(planes[1:4], 0, -1) if face_colours is not None else scene.colour,
        normal=np.moveaxis(planes[4:7], 0, -1),
        depth=planes[7],
        facing=planes[8],
        lit=planes[9],
        seen=planes[10],
        sky=planes[11],
        sky_height=planes[12],
        down=planes[13],
    )


def _outline(tracer: Tracer, scene: Scene, weight: Floats, top: int, left: int) -> Floats:
    """The coverage ``weight`` [rows, columns], counted anew with more rays where the outline passes."""
    from scipy.ndimage import maximum_filter, minimum_filter

    rows, columns = np.nonzero(maximum_filter(weight, 3) > minimum_filter(weight, 3))
    side = OUTLINE_RAYS_PER_SIDE
    steps = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / side
    # Skewed rows and columns tell 16 places of an upright or level edge apart, not 4.
    skew = (steps - np.float32(0.5)) / side
    x = (columns + left)[:, None, None] + steps[None, None, :] + skew[None, :, None]
    y = (rows + top)[:, None, None] + steps[None, :, None] - skew[None, None, :]
    directions = pixel_directions(scene.camera, x.astype(np.float32).ravel(), y.astype(np.float32).ravel())
    origins = np.broadcast_to(scene.camera.position, directions.shape)
    share = weight.copy()
    covered = tracer.blocked(origins, directions).reshape(len(rows), side * side)
    share[rows, columns] = covered.mean(axis=1, dtype=np.float32)
    return share


class _PartSampler:
    """Casts the rays of some pixels and sums what they see."""

    CHANNELS = 14

    def __init__(
        self, tracer: Tracer, face_colours: Floats | None, scene: Scene, tile: int, part_size: float
    ) -> None:
        self._tracer, self._face_colours, self._scene, self._tile = tracer, face_colours, scene, tile
        samples = tile * tile * RAYS_PER_SIDE**2
        self._to_light = light_pattern(scene.light, samples)
        self._to_sky = hemisphere_pattern(samples)
        self._near = np.float32(0.12 * part_size)

    def sample(
        self, x: NDArray[np.int64], y: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Sums [CHANNELS, N] over the rays of pixels at ``x``, ``y`` [N]: the order is that of PartLayer."""
        per_pixel = RAYS_PER_SIDE**2
        k = np.tile(np.arange(per_pixel), len(x))
        jitter = rng.random((2, len(k)), np.float32)
        across = np.repeat(x, per_pixel) + (k % RAYS_PER_SIDE + jitter[0]) / np.float32(RAYS_PER_SIDE)
        along = np.repeat(y, per_pixel) + (k // RAYS_PER_SIDE + jitter[1]) / np.float32(RAYS_PER_SIDE)
        directions = pixel_directions(
            self._scene.camera, across.astype(np.float32), along.astype(np.float32)
        ).astype(np.float32)
        hits = self._tracer.first_hits(self._scene.camera.position, directions)
        pixel = hits.ray // per_pixel
        cell = y[pixel] % self._tile * self._tile + x[pixel] % self._tile
        pattern = cell + self._tile**2 * k[hits.ray]
        origins = hits.point + hits.flat * np.float32(LIFT_LDU)
        depth = dot(hits.point - self._scene.camera.position, self._scene.camera.axes[2])
        facing, lit, seen = self._key(origins, hits.flat, hits.normal, pattern)
        sky, sky_height, down = self._ambient(origins, hits.flat, hits.normal, pattern)
        channels = [None, None, None, None, *hits.normal.T, depth, facing, lit, seen, sky, sky_height, down]
        if self._face_colours is not None:
            channels[1:4] = list(self._face_colours[hits.face].T)
        sums = np.zeros((self.CHANNELS, len(x)))
        sums[0] = np.bincount(pixel, minlength=len(x))
        for row, values in enumerate(channels):
            if values is not None:
                sums[row] = np.bincount(pixel, weights=values, minlength=len(x))
        return sums

    def _key(
        self, origins: Floats, flat: Floats, normal: Floats, pattern: NDArray[np.int64]
    ) -> tuple[Floats, Floats, Floats]:
        """Cosine to the key light, whether the surface faces it, whether it then sees it; [H] each."""
        facing = np.maximum(dot(normal, self._scene.light.direction), 0)
        lit = facing > 0
        seen = lit.copy()
        towards = self._to_light[pattern]
        # A facet of a round thing can face away where its smoothed normal does not: no test there, or the
        # facet would shade itself and show.
        asked = np.flatnonzero(lit & (dot(flat, towards) > 0))
        seen[asked] = ~self._tracer.blocked(origins[asked], towards[asked])
        return facing, lit.astype(np.float32), seen.astype(np.float32)

    def _ambient(
        self, origins: Floats, flat: Floats, normal: Floats, pattern: NDArray[np.int64]
    ) -> tuple[Floats, Floats, Floats]:
        """What one ray over the surface meets: sky, the height of that sky, or the table; [H] each.

        A table near the ray's start counts less: it lies in the part's own shade.
        """
        first, second = frames(normal)
        local = self._to_sky[pattern]
        towards = local[:, :1] * first + local[:, 1:2] * second + local[:, 2:] * normal
        below = np.minimum(dot(towards, flat), 0)
        towards = (towards - 2 * below[:, None] * flat).astype(np.float32)
        free = ~self._tracer.blocked(origins, towards)
        height = towards[:, 2]
        sky = free & (height > 0)
        distance = origins[:, 2] / np.maximum(-height, np.float32(1e-3))
        down = np.where(free & ~sky, 0.25 + 0.75 * distance / (distance + self._near), 0)
        return sky.astype(np.float32), np.where(sky, height, 0).astype(np.float32), down.astype(np.float32)


def shade_part(tracer: Tracer, layer: PartLayer, scene: Scene, tile: int) -> Floats:
    """Colours [rows, columns, 3] of the part's pixels; where it covers nothing they mean nothing."""
    light = scene.light
    pitch = float(np.median(layer.depth[layer.weight > 0])) / scene.camera.focal_px
    weighted = [layer.seen, layer.lit, layer.sky, layer.sky_height, layer.down]
    seen, lit, sky, sky_height, down = edge_aware_mean(layer, weighted, tile // 2, pitch, True)
    key_seen = np.asarray(seen / np.maximum(lit, np.float32(1e-4)), np.float32)
    open_light = table_light(light)
    ambient = np.float32(np.pi) * (
        sky[..., None] * light.horizon + sky_height[..., None] * (light.zenith - light.horizon)
    )
    hidden = np.clip(1 - sky - down, 0, 1)[..., None]
    ambient += down[..., None] * linear(scene.ground.mean_srgb) * open_light
    ambient += hidden * layer.albedo * open_light * np.float32(SELF_BOUNCE)
    direct = (layer.facing * key_seen)[..., None] * light.irradiance
    body = layer.albedo * (direct + ambient) * np.float32(1 - PLASTIC_F0)
    colours = (body + _gloss(tracer, layer, scene, key_seen, pitch)).astype(np.float32)
    return _spread(colours, layer.weight)


def _spread(colours: Floats, weight: Floats) -> Floats:
    """Pixels that no shaded ray hit take the mean colour of their neighbours: the outline may graze them."""
    rows, columns = weight.shape
    padded = np.pad(np.dstack([colours * weight[..., None], weight]), ((1, 1), (1, 1), (0, 0)))
    shifts = [padded[dy : dy + rows, dx : dx + columns] for dy in range(3) for dx in range(3)]
    total = np.sum(shifts, axis=0)
    mean = total[..., :3] / np.maximum(total[..., 3:], np.float32(1e-6))
    return np.where(weight[..., None] > 0, colours, mean).astype(np.float32)


def _gloss(tracer: Tracer, layer: PartLayer, scene: Scene, key_seen: Floats, pitch: float) -> Floats:
    """What the surface mirrors, with the key light's highlight, [rows, columns, 3]."""
    rows, columns = layer.share.shape
    # Without regard to the direction of faces the mean rounds every edge by about a pixel, as the edges of
    # moulded plastic are rounded.
    planes = list(np.moveaxis(layer.normal, -1, 0))
    soft = np.stack(edge_aware_mean(layer, planes, 1, pitch, False), axis=-1)
    normal = unit(soft.reshape(-1, 3))
    y, x = np.mgrid[layer.top : layer.top + rows, layer.left : layer.left + columns].reshape(2, -1)
    directions = pixel_directions(scene.camera, (x + 0.5).astype(np.float32), (y + 0.5).astype(np.float32))
    to_eye = -unit(directions)
    facing_eye = np.clip(dot(normal, to_eye), 0.12, 1).astype(np.float32)
    table = linear(scene.ground.mean_srgb) * table_light(scene.light)
    mirrored = mirrored_light(scene.light, normal, to_eye, facing_eye, table)
    fresnel = PLASTIC_F0 + (GRAZING - PLASTIC_F0) * (1 - facing_eye) ** 5
    gloss = mirrored * (fresnel * _mirror_open(tracer, layer, scene, directions, normal, pitch))[:, None]
    shine = highlight(scene.light, normal, to_eye, facing_eye, scene.roughness) * key_seen.ravel()
    gloss += shine[:, None] * scene.light.irradiance
    # One sample a pixel would come out as dashes along the edges.
    planes = list(gloss.T.reshape(3, rows, columns))
    return np.stack(edge_aware_mean(layer, planes, 1, pitch, False), axis=-1)


def _mirror_open(
    tracer: Tracer, layer: PartLayer, scene: Scene, directions: Floats, normal: Floats, pitch: float
) -> Floats:
    """How much of what lies in the mirror's direction is free of the part itself, [rows * columns]."""
    asked = np.flatnonzero(layer.weight > 0)
    points = scene.camera.position + directions[asked] * layer.depth.reshape(-1, 1)[asked]
    ray = unit(directions[asked])
    mirror = ray - 2 * dot(ray, normal[asked])[:, None] * normal[asked]
    free = np.zeros(layer.weight.size, np.float32)
    # At an edge a pixel's mean point lies under the surface, by about what the pixel spans.
    free[asked] = ~tracer.blocked(points + normal[asked] * np.float32(1.5 * pitch), mirror)
    return free


def edge_aware_mean(
    layer: PartLayer, planes: list[Floats], radius: int, pitch: float, same_face: bool
) -> list[Floats]:
    """Each plane [rows, columns] averaged over the (2 * radius + 1) squared pixels about each, weighted by
    coverage, by nearness in depth and, with ``same_face``, by likeness of normal.
    """
    rows, columns = layer.share.shape
    guides = [layer.weight, layer.depth, *np.moveaxis(layer.normal, -1, 0), *planes]
    stack = np.pad(np.stack(guides), ((0, 0), (radius, radius), (radius, radius)))
    middle = stack[:, radius : radius + rows, radius : radius + columns]
    total = np.full((rows, columns), 1e-6, np.float32)
    sums = np.zeros((len(planes), rows, columns), np.float32)
    scale = np.float32(1 / (6 * pitch))
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            other = stack[:, dy : dy + rows, dx : dx + columns]
            weight = other[0] / (1 + ((other[1] - middle[1]) * scale) ** 4)
            if same_face:
                alike = (other[2:5] * middle[2:5]).sum(axis=0)
                weight *= np.clip(alike, 0, 1) ** 16
            total += weight
            sums += weight * other[5:]
    return list(sums / total)
