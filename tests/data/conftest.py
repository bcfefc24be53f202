"""Small data sets, made on the spot: every image differs from every other."""

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tfds_examples import Example, Store, encoded


@pytest.fixture
def save_image() -> Callable[..., Path]:
    """Write an image of 24 x 16 pixels whose content no other call repeats; its folders are made."""
    seeds = itertools.count()

    def save(path: Path, **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(next(seeds)).integers(0, 256, (16, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, **options)
        return path

    return save


@pytest.fixture
def make_set(tmp_path: Path, save_image: Callable[..., Path]) -> Callable[..., str]:
    """Make a folder of class folders: ``make_set({"cat": 5, "train/dog": 3})`` gives its path."""

    def make(counts: dict[str, int], name: str = "photos") -> str:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                save_image(root / folder / f"{number:03d}.jpg")
        return str(root)

    return make


@pytest.fixture
def state_of() -> Callable[[str], dict[str, tuple[str, int]]]:
    """Every file below a folder with the hash of its bytes and its time of change."""

    def state(folder: str) -> dict[str, tuple[str, int]]:
        return {
            str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in Path(folder).rglob("*")
            if path.is_file()
        }

    return state


@pytest.fixture
def tfds(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def store(tfds: Any, tmp_path: Path) -> Store:
    """Write examples as TFDS does: ``store({"train": [...]}, label=...)`` gives the cache that holds them."""

    def write(splits: dict[str, list[Example]], name: str = "tiny", **features: Any) -> Path:
        given = {"image": tfds.features.Image(shape=(None, None, None)), **features}
        tfds.dataset_builders.store_as_tfds_dataset(
            name,
            "1.0.0",
            features=tfds.features.FeaturesDict(given),
            split_datasets={split: iter(enumerate(examples)) for split, examples in splits.items()},
            data_dir=tmp_path / "cache" / "tensorflow_datasets",
        )
        return tmp_path / "cache"

    return write


@pytest.fixture
def store_labelled(tfds: Any, store: Store) -> Store:
    """Likewise, of classes by name: ``store_labelled(["cat", "dog"], {"train": [0, 1, 1]})``."""

    def write(names: list[str], splits: dict[str, list[int]], name: str = "tiny") -> Path:
        random = np.random.default_rng(0)
        examples = {
            split: [{"image": encoded(random, "PNG"), "label": label} for label in labels]
            for split, labels in splits.items()
        }
        return store(examples, name, label=tfds.features.ClassLabel(names=names))

    return write
