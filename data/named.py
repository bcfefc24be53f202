"""Data sets known by name: fetched by Keras or TensorFlow Datasets, kept as class folders to train on."""

import contextlib
import difflib
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from legoclf.data.fetching import socket_timeout
from legoclf.data.tfds_names import TFDS_PREFIX, tfds_folder_name
from legoclf.data.whole import whole_folder
from legoclf.errors import LegoclfError, UsageError, missing_package
from legoclf.progress import Progress

if TYPE_CHECKING:
    from legoclf.data.tfds_sets import TfdsSet

LOGGER = logging.getLogger(__name__)

DESCRIPTION_FILE = "data_set.json"
# Each image is smaller than the block that a file system gives to a file.
BYTES_AN_IMAGE = 4096

_TENSORFLOW_COPIES = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


class NamedSet(NamedTuple):
    """A data set of Keras. ``files``: what it fetches → its place below ``~/.keras/datasets``."""

    labels: tuple[str, ...]
    homepage: str
    licence: str
    files: dict[str, str]


NAMED_SETS = {
    "mnist": NamedSet(
        tuple("0123456789"),
        "http://yann.lecun.com/exdb/mnist/",
        "CC BY-SA 3.0",
        {_TENSORFLOW_COPIES + "mnist.npz": "mnist.npz"},
    ),
    "fashion_mnist": NamedSet(
        (
            "T-shirt or top",  # the set's own T-shirt/top: a label is the name of a folder
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        "https://github.com/zalandoresearch/fashion-mnist",
        "MIT",
        {
            f"{_TENSORFLOW_COPIES}{part}-ubyte.gz": f"fashion-mnist/{part}-ubyte.gz"
            for part in ("train-labels-idx1", "train-images-idx3", "t10k-labels-idx1", "t10k-images-idx3")
        },
    ),
    "cifar10": NamedSet(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "not stated",
        {"https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz": "cifar-10-batches-py-target_archive"},
    ),
}


def named_folder(name: str, cache_dir: Path, images_a_class: int | None = None) -> Path:
    """Where a data set is kept, whether it is there yet or not.

    Raises:
        UsageError: no data set of Keras has that name, ``name`` is no name of TensorFlow Datasets in form, or
            ``images_a_class`` is below 1.
    """
    folder = tfds_folder_name(name) if name.startswith(TFDS_PREFIX) else _known(name)
    if images_a_class is None:
        return cache_dir / "datasets" / folder
    if images_a_class < 1:
        raise UsageError(f"--images_a_class: got {images_a_class}, expected 1 or more")
    return cache_dir / "datasets" / f"{folder}-{images_a_class}-a-class"


def _known(name: str) -> str:
    if name in NAMED_SETS:
        return name
    near = difflib.get_close_matches(name, NAMED_SETS, 1)
    meant = f", did you mean {near[0]}?" if near else ""
    raise UsageError(
        f"--dataset {name}: unknown{meant}; expected one of {', '.join(NAMED_SETS)}, "
        f"or {TFDS_PREFIX}NAME for a set of TensorFlow Datasets"
    )


def named_data_set(name: str, cache_dir: Path, images_a_class: int | None = None) -> Path:
    """The folder of a data set, ``train/<label>/`` and ``test/<label>/``; made where it is not there yet.

    Where a set of TensorFlow Datasets comes without a split to test or validate on, it is ``<label>/``.

    Args:
        name: one of ``NAMED_SETS``; or ``tfds:NAME``, ``tfds:NAME/CONFIG``, or either with ``:VERSION``.
        cache_dir: legoclf's.
        images_a_class: keep the first so many of each class in each set; None keeps all.

    Raises:
        UsageError: no data set has that name, or ``images_a_class`` is below 1.
        LegoclfError: it cannot be fetched or written; the message says how to bring it.
    """
    folder = named_folder(name, cache_dir, images_a_class)
    if (folder / DESCRIPTION_FILE).is_file():
        return folder
    if name.startswith(TFDS_PREFIX):
        from legoclf.data.tfds_sets import open_tfds_set

        _write_tfds(open_tfds_set(name, cache_dir), folder, images_a_class)
    else:
        write_named(name, folder, _load(name), images_a_class)
    return folder


def write_named(
    name: str, folder: Path, splits: Mapping[str, tuple[Any, Any]], images_a_class: int | None = None
) -> None:
    """Write a data set's arrays as class folders of PNG files; ``folder`` appears whole or not at all.

    Args:
        splits: set → images, uint8 [N, H, W] or [N, H, W, 3] RGB, and the class index of each, [N] or [N, 1].

    Raises:
        LegoclfError: it cannot be written.
    """
    chosen = {
        split: _chosen(labels.reshape(-1).tolist(), images_a_class) for split, (_, labels) in splits.items()
    }
    total = sum(map(len, chosen.values()))
    LOGGER.info(
        "%s: writing %d images, about %d MB, to %s", name, total, total * BYTES_AN_IMAGE >> 20, folder
    )
    with _new_folder(name, folder) as new:
        _write(name, new, splits, chosen)


def _write_tfds(source: "TfdsSet", folder: Path, images_a_class: int | None) -> None:
    from legoclf.data.tfds_folders import write_tfds_set

    with _new_folder(source.name, folder) as new:
        _describe(new, write_tfds_set(source, new, images_a_class))


@contextlib.contextmanager
def _new_folder(name: str, folder: Path) -> Iterator[Path]:
    """A folder to fill that becomes ``folder`` whole; a LegoclfError where it cannot be written."""
    try:
        with whole_folder(folder, DESCRIPTION_FILE) as new:
            yield new
    except OSError as error:
        raise LegoclfError(
            f"--dataset {name}: cannot be written to {folder}: {error.strerror}; "
            "free space there, or set LEGOCLF_CACHE_DIR to another folder"
        ) from error


def _describe(folder: Path, description: Mapping[str, Any]) -> None:
    text = json.dumps(description, indent=2, sort_keys=True) + "\n"
    (folder / DESCRIPTION_FILE).write_text(text, encoding="utf-8")


def _chosen(labels: Sequence[int], images_a_class: int | None) -> list[tuple[int, int]]:
    """Index and class of the images to keep."""
    seen: Counter[int] = Counter()
    chosen = []
    for index, label in enumerate(labels):
        seen[label] += 1
        if images_a_class is None or seen[label] <= images_a_class:
            chosen.append((index, label))
    return chosen


def _write(
    name: str,
    folder: Path,
    splits: Mapping[str, tuple[Any, Any]],
    chosen: Mapping[str, Sequence[tuple[int, int]]],
) -> None:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("pillow", "train") from error
    known = NAMED_SETS[name]
    with Progress(f"writing {name}", sum(map(len, chosen.values()))) as progress:
        for split, kept in chosen.items():
            for label in sorted({label for _, label in kept}):
                (folder / split / known.labels[label]).mkdir(parents=True)
            for index, label in kept:
                path = folder / split / known.labels[label] / f"{index:05d}.png"
                Image.fromarray(splits[split][0][index]).save(path)
                progress.advance()
    description = {
        "name": name,
        "source": "keras.datasets",
        "homepage": known.homepage,
        "licence": known.licence,
        "images": {
            split: dict(Counter(known.labels[label] for _, label in kept)) for split, kept in chosen.items()
        },
    }
    _describe(folder, description)


def _load(name: str) -> dict[str, tuple[Any, Any]]:
    try:
        import keras
    except ImportError as error:
        raise missing_package("keras", "train") from error
    try:
        # Keras shows its progress on stdout, where --json prints.
        with socket_timeout(), contextlib.redirect_stdout(sys.stderr):
            train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises no narrower class where an address cannot be reached
        raise LegoclfError(_by_hand(name, error)) from error
    splits = {"train": train, "test": test}
    if name == "cifar10" and keras.config.image_data_format() == "channels_first":
        return {split: (images.transpose(0, 2, 3, 1), labels) for split, (images, labels) in splits.items()}
    return splits


def _by_hand(name: str, error: Exception) -> str:
    home = Path(os.environ.get("KERAS_HOME") or Path("~", ".keras")) / "datasets"
    files = ", ".join(f"{address} as {home / place}" for address, place in NAMED_SETS[name].files.items())
    cause = " ".join(str(error).split())
    return f"--dataset {name}: cannot be had ({cause}); on a connected machine fetch, and put here: {files}"
