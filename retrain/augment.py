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

    def largest(self, contract: InputContract) -> InputContract:
        """The contract of the largest enlargement that a view is cut from."""
        return _enlarged(contract, self, 1.0 + self.random_scale / 100.0)

    def describe(self) -> str:
        """A canonical text, the same for equal augmentations: part of a cache key."""
        return json.dumps(asdict(self), sort_keys=True)


def view_random(seed: int, content_sha256: str, view: int) -> np.random.Generator:
    """The random numbers of one view: of the seed, the image's content and the view alone.

    So a view does not depend on the order of images, on other images, or on the number of cores.
    """
    digest = hashlib.sha256(f"{seed}/{content_sha256}/{view}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def augmented_view(
    image: np.ndarray,
    contract: InputContract,
    augmentation: Augmentation,
    random: np.random.Generator,
    fit: Fit,
) -> np.ndarray:
    """One distorted view of an image, in retrain.py's order: enlarge, crop, mirror, brighten.

    Args:
        image: uint8 [H, W, 3], RGB.

    Returns:
        float32 [3, contract.height, contract.width]; not clipped, as in retrain.py, so a view that
        is brightened may leave the contract's range.
    """
    scale = random.uniform(1.0, 1.0 + augmentation.random_scale / 100.0)
    enlarged = _enlarged(contract, augmentation, scale)
    levels = fit(image, enlarged)
    top = random.integers(enlarged.height - contract.height + 1)
    left = random.integers(enlarged.width - contract.width + 1)
    levels = levels[top : top + contract.height, left : left + contract.width]
    if augmentation.flip_left_right and random.random() < 0.5:
        levels = levels[:, ::-1]
    tensor = to_tensor(levels, contract)
    if augmentation.random_brightness:
        share = augmentation.random_brightness / 100.0
        tensor *= np.float32(random.uniform(1.0 - share, 1.0 + share))
    return tensor


def _enlarged(contract: InputContract, augmentation: Augmentation, scale: float) -> InputContract:
    factor = (1.0 + augmentation.random_crop / 100.0) * scale
    return contract._replace(height=int(contract.height * factor), width=int(contract.width * factor))
