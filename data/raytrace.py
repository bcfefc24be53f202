"""Rays against a part: a thin layer over Embree (embreex), and the sample patterns."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from legoclf.errors import missing_package

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int32]

# LDraw's cylinders have 16 or 48 sides, 22.5 degrees apart at most; the gentlest true edge is about 31.
CREASE_DEG = 28.0
LIFT_LDU = 0.02  # a ray that leaves a surface starts this far above it, so as not to hit it at once
PIXELS_AT_ONCE = 1 << 14  # keeps arrays in the processor's cache and the memory small
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


class Hits(NamedTuple):
    """Where rays met the part: ``ray`` [H] indexes them, ``point`` [H, 3], ``flat`` [H, 3] the face's unit
    normal, ``normal`` [H, 3] the smoothed one (both on the side the ray came from), ``face`` [H].
    """

    ray: NDArray[np.intp]
    point: Floats
    flat: Floats
    normal: Floats
    face: Ints


class Tracer:
    """The part in place, ready for rays. ``vertices`` [V, 3], ``faces`` [F, 3], ``corner_normals`` [F, 3, 3]
    (face, corner, axis), all in world axes.
    """

    def __init__(self, vertices: Floats, faces: Ints, corner_normals: Floats) -> None:
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError as error:
            raise missing_package("embreex", "render") from error
        self._corner_normals = corner_normals
        self._scene: Any = EmbreeScene()
        TriangleMesh(
            scene=self._scene,
            vertices=np.ascontiguousarray(vertices, np.float32),
            indices=np.ascontiguousarray(faces, np.int32),
        )

    def first_hits(self, origin: Floats, directions: Floats) -> Hits:
        """The first hits of rays from one ``origin`` [3] along ``directions`` [N, 3] of any length."""
        origins = np.broadcast_to(origin, directions.shape).astype(np.float32)
        found = self._scene.run(origins, directions, output=1)
        ray = np.flatnonzero(found["primID"] >= 0)
        face = found["primID"][ray]
        along = directions[ray]
        point = origin + along * found["tfar"][ray, None]
        flat = unit(found["Ng"][ray])
        u, v = found["u"][ray, None], found["v"][ray, None]
        corners = self._corner_normals[face]
        normal = unit(corners[:, 0] * (1 - u - v) + corners[:, 1] * u + corners[:, 2] * v)
        # Towards the viewer, whichever side of the surface is seen.
        flat *= np.where(dot(flat, along) > 0, np.float32(-1), np.float32(1))[:, None]
        normal *= np.where(dot(normal, flat) < 0, np.float32(-1), np.float32(1))[:, None]
        return Hits(ray, point, flat, normal, face)

    def blocked(self, origins: Floats, directions: Floats) -> NDArray[np.bool_]:
        """Whether each ray [N, 3] from ``origins`` [N, 3] meets the part."""
        return np.asarray(self._scene.run(origins, directions, query="OCCLUDED") >= 0)


def crease_normals(vertices: NDArray[np.float64], faces: Ints) -> Floats:
    """A unit normal for every corner [F, 3, 3]: the mean of the faces that meet there within CREASE_DEG of
    the corner's own, weighted by their angle at the corner. Round things look round, edges stay sharp.
    """
    triangles = vertices[faces]
    cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals = cross / np.linalg.norm(cross, axis=1, keepdims=True)
    angles = np.empty(faces.shape)
    for k in range(3):
        one = triangles[:, (k + 1) % 3] - triangles[:, k]
        other = triangles[:, (k + 2) % 3] - triangles[:, k]
        cosine = np.einsum("ij,ij->i", one, other)
        angles[:, k] = np.arctan2(np.linalg.norm(np.cross(one, other), axis=1), cosine)
    corner_vertex = faces.ravel()
    order = np.argsort(corner_vertex, kind="stable")
    counts = np.bincount(corner_vertex, minlength=len(vertices))
    starts = np.cumsum(counts) - counts
    # Every corner paired with every corner at the same vertex.
    partners = counts[corner_vertex]
    mine = np.repeat(np.arange(len(corner_vertex)), partners)
    step = np.arange(len(mine)) - np.repeat(np.cumsum(partners) - partners, partners)
    theirs = order[starts[corner_vertex[mine]] + step]
    close = np.einsum("ij,ij->i", normals[mine // 3], normals[theirs // 3]) > np.cos(np.radians(CREASE_DEG))
    mine, theirs = mine[close], theirs[close]
    pulls = normals[theirs // 3] * angles.ravel()[theirs, None]
    summed = np.stack(
        [np.bincount(mine, weights=pulls[:, axis], minlength=faces.size) for axis in range(3)], axis=1
    )
    smooth = summed / np.linalg.norm(summed, axis=1, keepdims=True)
    return smooth.reshape(-1, 3, 3).astype(np.float32)


def disc_pattern(count: int) -> Floats:
    """``count`` points [count, 2] spread evenly over the unit disc (Vogel's spiral)."""
    k = np.arange(count)
    radius, angle = np.sqrt((k + 0.5) / count), k * GOLDEN_ANGLE
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)


def hemisphere_pattern(count: int) -> Floats:
    """``count`` unit vectors [count, 3] about +Z with a density of the cosine (Malley: a disc, lifted)."""
    disc = disc_pattern(count)
    height = np.sqrt(np.maximum(0, 1 - (disc**2).sum(axis=1)))
    return np.concatenate([disc, height[:, None]], axis=1).astype(np.float32)


def frames(normals: Floats) -> tuple[Floats, Floats]:
    """Two unit vectors [N, 3] each, square to ``normals`` [N, 3] and to each other (Duff et al. 2017)."""
    x, y, z = normals[:, 0], normals[:, 1], normals[:, 2]
    sign = np.where(z >= 0, np.float32(1), np.float32(-1))
    a = -1 / (sign + z)
    b = x * y * a
    first = np.stack([1 + sign * x * x * a, sign * b, -sign * x], axis=1)
    second = np.stack([b, sign + y * y * a, -y], axis=1)
    return first, second


def dot(a: Floats, b: Floats) -> Floats:
    """Row by row: [N, 3] and [N, 3] (or [3]) to [N]."""
    b = np.broadcast_to(b, a.shape)
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]


def unit(vectors: Floats) -> Floats:
    """Rows [N, 3] at length 1; a zero row stays zero."""
    length = np.sqrt(np.maximum(dot(vectors, vectors), np.float32(1e-20)))
    return np.asarray(vectors / length[:, None], np.float32)
