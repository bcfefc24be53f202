"""Augmentation as retrain.py defines it: crop, scale, mirror and brightness, in percent."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

from legoclf.contract import InputContract
from legoclf.errors import UsageError
from legoclf.preprocess import Fit, to_tensor


@dataclass(frozen=True)
class Augmentation:
    """The distortions of retrain.py.

    random_crop: percent of the input size that the image is enlarged by before a random crop.
    random_scale: percent that it is enlarged by further, at random.
    random_brightness: percent by which it is made lighter or darker, at random.
    flip_left_right: mirror every second view, at random.
    """

    random_crop: int = 0
    random_scale: int = 0
    random_brightness: int = 0
    flip_left_right: bool = False

    def __post_init__(self) -> None:
        for name in ("random_crop", "random_scale", "random_brightness"):
            value = getattr(self, name)
            if not 0 <= value <= 100:
                raise UsageError(f"--{name}: got {value}, expected a percentage, 0 to 100")

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
    """One distorted view of an image, in retrain.py's order: enlarge, crop, mirror, brighten.

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
    share = augmentation.random_brightness / 100.0
    brightness = random.uniform(1.0 - share, 1.0 + share)
    brightened = contract._replace(scale=contract.scale * brightness, offset=contract.offset * brightness)
    return to_tensor(levels, brightened)
