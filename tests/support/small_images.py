"""Data sets that small networks learn in seconds: digits drawn with a font, and bright and dark corners."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from legoclf.contract import unit_range_contract
from legoclf.data.dataset import ImageItem
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.networks.batches import ImageBatches


def write_digits(folder: Path, per_class: int, classes: int = 10, seed: int = 0) -> list[ImageItem]:
    """So many 28x28 PNGs of each digit, shifted, of several sizes, in several greys, with noise."""
    random = np.random.default_rng(seed)
    items = []
    for label in range(classes):
        for index in range(per_class):
            picture = Image.new("L", (28, 28))
            font = ImageFont.load_default(size=int(random.integers(16, 22)))
            place = (int(random.integers(5, 12)), int(random.integers(1, 6)))
            ImageDraw.Draw(picture).text(place, str(label), fill=int(random.integers(150, 256)), font=font)
            levels = np.array(picture) + random.normal(0, 12, (28, 28))
            items.append(_write(folder, f"{label}/{index:03d}.png", levels, label))
    return items


def write_stripes(folder: Path, per_class: int, size: int, seed: int = 0) -> list[ImageItem]:
    """So many PNGs of upright and of lying stripes, of any colour and width: the mean tells nothing."""
    random = np.random.default_rng(seed)
    items = []
    for label in range(2):
        for index in range(per_class):
            wave = np.sin(np.arange(size) * random.uniform(0.4, 0.9) + random.uniform(0, 6))
            plane = np.tile(wave, (size, 1))
            levels = 128 + 80 * (plane if label else plane.T)[..., None] * random.uniform(0.4, 1.0, 3)
            items.append(_write(folder, f"{label}/{index:03d}.png", levels, label))
    return items


def batches_of(items: list[ImageItem], size: int, batch_size: int = 16, **how: object) -> ImageBatches:
    """Batches of those images, squares of that size; not yet entered."""
    settings: dict[str, object] = {"augmentation": Augmentation(), "seed": 0, "balance": "none", **how}
    return ImageBatches(items, unit_range_contract(size, size), batch_size=batch_size, **settings)  # type: ignore[arg-type]


def _write(folder: Path, relative: str, levels: np.ndarray, label: int) -> ImageItem:
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(path)
    return ImageItem(str(path), relative, label, "train")
