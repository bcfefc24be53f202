"""One scene to one picture: rays by Embree, light in NumPy.

The picture is two layers: the ground, coloured once per pixel everywhere, and over it the part, whose
jittered rays give its coverage and so its smooth edge.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from legoclf.data.ground_layer import ground_layer
from legoclf.data.ldraw import Mesh
from legoclf.data.lighting import pixel_directions
from legoclf.data.part_layer import part_layer, shade_part
from legoclf.data.raytrace import Tracer, crease_normals
from legoclf.data.scene import Floats, Scene, Sensor, turned
from legoclf.data.stable_poses import Poses, stable_poses

SHOULDER = 0.82  # where highlights start to be compressed


class Model(NamedTuple):
    """A part made ready once for many images; ``normals`` [F, 3, 3] are its corner normals."""

    mesh: Mesh
    normals: Floats
    poses: Poses


def prepare(mesh: Mesh) -> Model:
    """Corner normals and stable poses of a part."""
    normals = crease_normals(mesh.vertices.astype(np.float64), mesh.faces)
    return Model(mesh, normals, stable_poses(mesh.vertices, mesh.faces))


def render_image(
    model: Model, face_colours: Floats | None, scene: Scene, size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture, sRGB uint8 [size, size, 3].

    ``face_colours`` float32 [F, 3], linear, is given for a part with colours of its own; otherwise the part
    has the scene's colour.
    """
    vertices = (turned(model.mesh.vertices, scene.turn) + scene.shift).astype(np.float32)
    normals = turned(model.normals, scene.turn).astype(np.float32)
    tracer = Tracer(vertices, model.mesh.faces, normals)
    tile = 3 if size <= 256 else 5
    picture = ground_layer(tracer, vertices, scene, size, tile).reshape(size, size, 3)
    layer = part_layer(tracer, vertices, face_colours, scene, size, tile, rng)
    rows, columns = layer.share.shape
    window = picture[layer.top : layer.top + rows, layer.left : layer.left + columns]
    share = layer.share[..., None]
    window += share * (shade_part(tracer, layer, scene, tile) - window)
    return _develop(picture, scene.sensor, rng)


def part_mask(model: Model, scene: Scene, size: int) -> NDArray[np.bool_]:
    """Which pixels [size, size] have the part at their centre."""
    vertices = (turned(model.mesh.vertices, scene.turn) + scene.shift).astype(np.float32)
    tracer = Tracer(vertices, model.mesh.faces, model.normals)
    pixels = np.arange(size * size)
    x, y = pixels % size + np.float32(0.5), pixels // size + np.float32(0.5)
    directions = pixel_directions(scene.camera, x.astype(np.float32), y.astype(np.float32))
    mask = np.zeros(size * size, bool)
    mask[tracer.first_hits(scene.camera.position, directions).ray] = True
    return mask.reshape(size, size)


def _develop(picture: Floats, sensor: Sensor, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light to sRGB uint8: gain, blur, corner falloff, compressed highlights, noise."""
    from scipy.ndimage import gaussian_filter

    size = len(picture)
    if sensor.blur_px > 0.15:
        picture = gaussian_filter(picture, (sensor.blur_px, sensor.blur_px, 0), truncate=3.0)
    span = np.linspace(-1, 1, size, dtype=np.float32)
    falloff = 1 - np.float32(sensor.vignette / 2) * (span[:, None] ** 2 + span[None, :] ** 2)
    light = picture * falloff[..., None] * sensor.gain
    room = 1 - SHOULDER
    bent = SHOULDER + room * (1 - np.exp(-np.maximum(light - SHOULDER, 0) / room))
    light = np.where(light > SHOULDER, bent, np.maximum(light, 0))
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
    grain = rng.standard_normal(picture.shape, np.float32) * np.float32(sensor.noise)
    return np.rint(np.clip(coded + grain, 0, 1) * 255).astype(np.uint8)
