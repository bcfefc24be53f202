"""What benchmarks of training are tried on: noisy photos of three colours, and a network that sees them."""

import functools
from pathlib import Path

import numpy as np
import tf_modules
from PIL import Image
from shared_folder import held, shared_folder

from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector

COLOURS = {"blue": (30, 60, 200), "green": (20, 160, 60), "red": (190, 30, 30)}


def write_photos(folder: Path, per_class: int = 12) -> Path:
    """So many photos of each colour, 48x40 JPEGs, a folder each."""
    random = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for index in range(per_class):
            levels = np.array(colour) * random.uniform(0.7, 1.2) + random.normal(0, 12, (40, 48, 3))
            Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(folder / label / f"{index:02d}.jpg")
    return folder


@functools.cache
def module() -> tuple[Path, Path]:
    """A module of 32x32 pixels to 6 features, and the cache folder that it is converted into."""
    folder = shared_folder("small_training")
    with held(folder):
        if not (folder / "module").is_dir():
            tf_modules.save_tf2_module(folder / "module")
    return folder / "module", shared_folder("cache")


@functools.cache
def vector() -> FeatureVector:
    """That module, converted."""
    saved, cache = module()
    return load_feature_vector(str(saved), cache_dir=cache)
