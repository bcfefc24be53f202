"""The light that reaches a surface, and what of it the surface mirrors; formulas only, no rays.

Colours are linear, scaled so that 1 is white paper in the light of the scene; a radiance is therefore
multiplied by pi where it is shown.
"""

import numpy as np

from legoclf.data.raytrace import disc_pattern, dot, frames, unit
from legoclf.data.scene import Camera, Floats, Light

PLASTIC_F0 = 0.042  # of ABS, refractive index 1.52, at normal incidence
# Less than the 1 of a perfect surface: fine scratches, and thin faces would sparkle from pixel to pixel.
GRAZING = 0.3


def pixel_directions(camera: Camera, x: Floats, y: Floats) -> Floats:
    """Ray directions [N, 3] through image points; their depth component is 1, so distances are depths."""
    across = (x - np.float32(camera.centre[0])) / np.float32(camera.focal_px)
    along = (y - np.float32(camera.centre[1])) / np.float32(camera.focal_px)
    right, down, forward = camera.axes
    return across[:, None] * right + along[:, None] * down + forward


def sky_radiance(light: Light, height: Floats) -> Floats:
    """Radiance [N, 3] of the sky at ``height`` [N], the sine of the elevation."""
    return light.horizon + (light.zenith - light.horizon) * height[:, None]


def table_light(light: Light) -> Floats:
    """What an open place on the table gets, RGB: 2/3 is the mean height of a sky seen by the cosine."""
    sky = light.horizon + (light.zenith - light.horizon) * np.float32(2 / 3)
    return light.irradiance * light.direction[2] + np.float32(np.pi) * sky


def light_pattern(light: Light, count: int) -> Floats:
    """Directions [count, 3] to points spread over the key light's disc."""
    first, second = frames(light.direction[None])
    disc = disc_pattern(count) * np.float32(light.radius)
    return unit(light.direction + disc[:, :1] * first + disc[:, 1:] * second)


def mirrored_light(light: Light, normal: Floats, to_eye: Floats, facing_eye: Floats, table: Floats) -> Floats:
    """What the surface mirrors, [N, 3]: sky with its windows above, the table below."""
    mirror = 2 * facing_eye[:, None] * normal - to_eye
    height = mirror[:, 2]
    above = np.float32(np.pi) * sky_radiance(light, np.clip(height, 0, 1))
    for box in light.boxes:
        above += (box[4] * np.exp(box[3] * (dot(mirror, box[:3]) - 1)))[:, None]
    blend = np.clip(height * 6 + 0.5, 0, 1)[:, None].astype(np.float32)
    return table * (1 - blend) + above * blend


def highlight(light: Light, normal: Floats, to_eye: Floats, facing_eye: Floats, roughness: float) -> Floats:
    """The key light's highlight [N] (Walter et al. 2007, GGX; Karis 2013 for the visibility term), widened
    by the light's own size.
    """
    half = unit(to_eye + light.direction)
    facing_light = np.clip(dot(normal, light.direction), 0, 1)
    alpha = np.float32(roughness**2 + light.radius / 2)
    cosine = np.clip(dot(normal, half), 0, 1)
    spread = alpha * alpha / (np.pi * (cosine * cosine * (alpha * alpha - 1) + 1) ** 2)
    k = alpha / 2
    visibility = 1 / ((facing_eye * (1 - k) + k) * (facing_light * (1 - k) + k))
    fresnel = PLASTIC_F0 + (1 - PLASTIC_F0) * (1 - np.clip(dot(half, to_eye), 0, 1)) ** 5
    return (np.pi * spread * fresnel * visibility / 4 * facing_light).astype(np.float32)
