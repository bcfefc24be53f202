"""How a part comes to rest on a table, and how likely each way is."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from legoclf.errors import missing_package

# A pose rarer than this is left out: it stands on an edge that a real table would not keep it on.
RAREST = 0.004


class Poses(NamedTuple):
    """``turns`` float64 [P, 3, 3] take the part's axes to a world with Z up; ``chances`` [P] sum to 1."""

    turns: NDArray[np.float64]
    chances: NDArray[np.float64]


def stable_poses(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> Poses:
    """The poses a part settles in when it is dropped at random, without bouncing.

    It first touches a face of its convex hull, with a chance in proportion to the solid angle the face
    covers seen from the centre of mass, and then rolls over the edge that the centre of mass overhangs most
    until it rests. Each roll lowers the centre of mass, so the rolling ends.

    ``vertices`` [V, 3], ``faces`` [F, 3] counter-clockwise seen from outside.
    """
    try:
        import trimesh
        from scipy.spatial import ConvexHull
    except ImportError as error:
        raise missing_package(error.name or "trimesh", "render") from error
    points = vertices.astype(np.float64)
    hull = ConvexHull(points)
    # Hull faces in one plane are one face to stand on; Qhull's planes are unit outward normals and offsets.
    planes, face_plane = np.unique(np.round(hull.equations, 4), axis=0, return_inverse=True)
    normals, offsets = planes[:, :3], planes[:, 3]
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    mass = trimesh.triangles.mass_properties(points[faces])
    centre = np.asarray(mass.center_mass)
    if mass.volume <= 0 or (normals @ centre + offsets >= 0).any():  # a surface with holes has no inside
        centre = points[hull.vertices].mean(axis=0)
    angles = _solid_angles(points[hull.simplices] - centre)
    first_touch = np.bincount(face_plane.ravel(), weights=angles, minlength=len(planes))
    heights = -(normals @ centre + offsets)
    feet = centre + normals * heights[:, None]
    overhang = feet @ normals.T + offsets
    np.fill_diagonal(overhang, -np.inf)
    rests = np.arange(len(planes))
    lower = overhang.argmax(axis=1)
    # The comparison of heights keeps two planes that rounding failed to join from rolling to each other.
    rolls_to = np.where((overhang.max(axis=1) > 0) & (heights[lower] < heights), lower, rests)
    while (rolls_to[rests] != rests).any():
        rests = rolls_to[rests]
    chances = np.bincount(rests, weights=first_touch, minlength=len(planes))
    chances = chances / chances.sum()
    kept = np.flatnonzero(chances >= min(RAREST, chances.max()))
    turns = np.stack([_turn_down(normals[k]) for k in kept])
    return Poses(turns, chances[kept] / chances[kept].sum())


def _solid_angles(triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solid angle of each triangle [T, 3, 3] seen from the origin (Van Oosterom and Strackee, 1983)."""
    a, b, c = (triangles[:, k] for k in range(3))
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    above = np.abs(np.einsum("ij,ij->i", a, np.cross(b, c)))
    dots = [np.einsum("ij,ij->i", p, q) for p, q in ((a, b), (b, c), (c, a))]
    below = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
    return 2 * np.arctan2(above, below)


def _turn_down(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rotation [3, 3] that takes the unit vector ``normal`` to (0, 0, -1)."""
    helper = np.eye(3)[np.abs(normal).argmin()]
    side = np.cross(normal, helper)
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(-normal, side), -normal])
