"""Augmentation: retrain.py's crop, scale, mirror and brightness, and what goes past them."""

import hashlib
import json
from dataclasses import asdict, dataclass
from math import cos, radians, sin, tan

import numpy as np

from legoclf.contract import InputContract
from legoclf.errors import UsageError, missing_package
from legoclf.preprocess import Fit, to_tensor

#: The largest value of each that is a number: percentages, but for the angles, in degrees.
_MOST = {
    "random_crop": 100,
    "random_scale": 100,
    "random_brightness": 100,
    "random_rotation": 180,
    "random_shear": 60,
    "random_zoom": 90,
    "random_colour": 100,
    "random_erasing": 100,
}

#: Share of a view that erasing takes, and the ratio of its sides: the ranges of Zhong et al.,
#: "Random Erasing Data Augmentation" (2017), with less of the area: bricks are small.
_ERASED_AREA = (0.02, 0.2)
_ERASED_RATIO = (0.3, 1 / 0.3)

#: Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Augmentation:
    """The distortions of retrain.py, and others.

    random_crop: percent of the input size that the image is enlarged by before a random crop.
    random_scale: percent that it is enlarged by further, at random.
    random_brightness: percent by which it is made lighter or darker, at random.
    flip_left_right: mirror every second view, at random.
    flip_up_down: likewise, upside down.
    random_rotation: degrees that it is turned by at most, either way.
    random_shear: degrees that it is slanted by at most, either way and either axis.
    random_zoom: percent by which it is made smaller or larger, each side by itself.
    random_colour: percent by which each colour is made stronger or weaker, and all of them together.
    random_erasing: percent of the views that lose a rectangle.
    """

    random_crop: int = 0
    random_scale: int = 0
    random_brightness: int = 0
    flip_left_right: bool = False
    flip_up_down: bool = False
    random_rotation: int = 0
    random_shear: int = 0
    random_zoom: int = 0
    random_colour: int = 0
    random_erasing: int = 0

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                unit = "degrees" if name in ("random_rotation", "random_shear") else "a percentage"
                raise UsageError(f"--{name}: got {value}, expected {unit}, 0 to {most}")

    @property
    def active(self) -> bool:
        """Whether any distortion is on."""
        return any(asdict(self).values())

    def describe(self) -> str:
        """A canonical text, the same for equal augmentations: part of a cache key."""
        return json.dumps(asdict(self), sort_keys=True)


def view_random(seed: int, content_sha256: str, view: int) -> np.random.Generator:
    """The random numbers of one view: of the seed, the image's content and the view alone.

    So a view does not depend on the order of images, on other images, or on the number of cores.
    """
    digest = hashlib.sha256(f"{seed}/{content_sha256}/{view}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def reduce_for_views(image: np.ndarray, contract: InputContract, fit: Fit) -> np.ndarray:
    """An image by the largest whole factor smaller at which it is no smaller than the network's input.

    What views are cut from: once an image, so that each view has little left to shrink.

    Args:
        image: uint8 [H, W, 3], RGB.

    Returns:
        uint8 [H // factor, W // factor, 3].
    """
    height, width = image.shape[:2]
    factor = min(height // contract.height, width // contract.width)
    if factor < 2:
        return image
    return fit(image, contract._replace(height=height // factor, width=width // factor, geometry="squash"))


def augmented_view(
    image: np.ndarray,
    contract: InputContract,
    augmentation: Augmentation,
    random: np.random.Generator,
    fit: Fit,
) -> np.ndarray:
    """One distorted view of an image, in retrain.py's order: enlarge, crop, mirror, brighten; then the rest.

    Args:
        image: uint8 [H, W, 3], RGB, as :func:`reduce_for_views` gives it; resized bilinearly, as there.

    Returns:
        float32 [3, contract.height, contract.width]; not clipped, as in retrain.py, so a view that
        is brightened may leave the contract's range.
    """
    enlarged = (1.0 + augmentation.random_crop / 100.0) * random.uniform(
        1.0, 1.0 + augmentation.random_scale / 100.0
    )
    height, width = int(contract.height * enlarged), int(contract.width * enlarged)
    levels = fit(image, contract._replace(height=height, width=width, resample="bilinear"))
    top = random.integers(height - contract.height + 1)
    left = random.integers(width - contract.width + 1)
    levels = levels[top : top + contract.height, left : left + contract.width]
    if augmentation.flip_left_right and random.random() < 0.5:
        levels = levels[:, ::-1]
    brightness = _brightness(augmentation, random)
    if augmentation.flip_up_down and random.random() < 0.5:
        levels = levels[::-1]
    if augmentation.random_rotation or augmentation.random_shear or augmentation.random_zoom:
        levels = _warped(levels, _warp(augmentation, random))
    brightened = contract._replace(scale=contract.scale * brightness, offset=contract.offset * brightness)
    tensor = to_tensor(levels, brightened)
    if augmentation.random_colour:
        tensor = _recoloured(tensor, augmentation.random_colour / 100.0, random)
    if random.random() < augmentation.random_erasing / 100.0:
        _erase(tensor, random)
    return tensor


def _brightness(augmentation: Augmentation, random: np.random.Generator) -> float:
    share = augmentation.random_brightness / 100.0
    return random.uniform(1.0 - share, 1.0 + share)


def _warp(augmentation: Augmentation, random: np.random.Generator) -> np.ndarray:
    """What takes a point of the view, from its centre, to the point of the image that it shows: [2, 2]."""
    angle = radians(random.uniform(-augmentation.random_rotation, augmentation.random_rotation))
    slant = [tan(radians(random.uniform(-1, 1) * augmentation.random_shear)) for _ in range(2)]
    share = augmentation.random_zoom / 100.0
    zoom = random.uniform(1.0 - share, 1.0 + share, 2)
    turn = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
    warp: np.ndarray = turn @ np.array([[1.0, slant[0]], [slant[1], 1.0]]) @ np.diag(1.0 / zoom)
    return warp


def _warped(levels: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] seen through ``warp``, about its centre; the border is repeated outwards."""
    try:
        import cv2
    except ImportError as error:
        raise missing_package("cv2", "train") from error
    height, width = levels.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([warp, centre - warp @ centre])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen: np.ndarray = cv2.warpAffine(
        np.ascontiguousarray(levels), matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return seen


def _recoloured(tensor: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """float32 [3, H, W] with its colours stronger or paler, and each of the three brighter or darker."""
    saturation, *gains = random.uniform(1.0 - share, 1.0 + share, 4).astype(np.float32)
    grey = np.tensordot(LUMA, tensor, axes=1)
    recoloured: np.ndarray = (grey + (tensor - grey) * saturation) * np.array(gains)[:, None, None]
    return recoloured


def _erase(tensor: np.ndarray, random: np.random.Generator) -> None:
    """Fill a rectangle of float32 [3, H, W], in place, with the mean colour of the view."""
    height, width = tensor.shape[1:]
    area, ratio = random.uniform(*_ERASED_AREA), np.exp(random.uniform(*np.log(_ERASED_RATIO)))
    high = min(height, max(1, round(height * float(np.sqrt(area * ratio)))))
    wide = min(width, max(1, round(width * float(np.sqrt(area / ratio)))))
    top, left = random.integers(height - high + 1), random.integers(width - wide + 1)
    tensor[:, top : top + high, left : left + wide] = tensor.mean(axis=(1, 2), keepdims=True)
