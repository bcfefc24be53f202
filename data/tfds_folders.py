"""Images of TensorFlow Datasets become class folders: read by it, an image at a time."""

import contextlib
import logging
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from legoclf.data.tfds_names import one_line
from legoclf.data.tfds_sets import TfdsSet
from legoclf.errors import ImageError, LegoclfError, missing_package
from legoclf.image_header import read_header
from legoclf.progress import Progress
from legoclf.split import SPLIT_FOLDERS, TRAIN

LOGGER = logging.getLogger(__name__)

_EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WebP": ".webp"}


def write_tfds_set(source: TfdsSet, folder: Path, images_a_class: int | None = None) -> dict[str, Any]:
    """Write the images below ``folder``: where the set comes split, in ``train/<class>/``,
    ``validation/<class>/`` and ``test/<class>/``, as far as it has them; else in ``<class>/``.

    A JPEG, PNG, BMP or WebP is written as it is stored; another image as PNG. One image is held at a time.

    Args:
        folder: to fill.
        images_a_class: keep the first so many of each class in each set, and stop reading when all are full.

    Returns:
        What the set is and how many images of each class were written, for JSON.

    Raises:
        LegoclfError: the files of TFDS cannot be read, or no image has a label.
        OSError: an image cannot be written.
    """
    splits = source.builder.info.splits
    places = _places([split for split in splits if _is_labelled(source, split)])
    if not places:
        raise LegoclfError(f"--dataset {source.name}: no image of it has a label; choose another data set")
    left_out = ", ".join(sorted(set(splits) - set(places)))
    if left_out:
        LOGGER.info("%s: left out: %s, no labelled train, validation or test", source.name, left_out)
    most = sys.maxsize if images_a_class is None else images_a_class * len(source.folders)
    total = sum(min(splits[split].num_examples, most) for split in places)
    LOGGER.info("%s: writing up to %d images to %s", source.name, total, folder.parent)
    with Progress(f"writing {source.name}", total) as progress:
        images = {
            split: dict(_write_split(source, split, folder / place, images_a_class, progress))
            for split, place in places.items()
        }
    return _description(source, images)


def _examples(source: TfdsSet, split: str) -> Generator[tuple[bytes, int], None, None]:
    """The encoded image and the class index of each example, in the order of the files."""
    import tensorflow_datasets as tfds

    decoders = tfds.decode.PartialDecoding(
        {source.image: True, source.label: True}, {source.image: tfds.decode.SkipDecoding()}
    )
    # A small set would be cached in memory, and several files read by turns.
    config = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)
    try:
        examples = source.builder.as_dataset(
            split=split, shuffle_files=False, decoders=decoders, read_config=config
        )
        for example in examples.as_numpy_iterator():
            yield example[source.image], int(example[source.label])
    except Exception as error:  # TensorFlow's errors share no base with those of TFDS
        raise LegoclfError(
            f"--dataset {source.name}: {source.builder.data_path} cannot be read ({one_line(error)}); "
            "delete that folder, and the next run makes it anew"
        ) from error


def _is_labelled(source: TfdsSet, split: str) -> bool:
    """Whether the first example has a class: those of a contest's secret test set have -1."""
    with contextlib.closing(_examples(source, split)) as examples:
        return next((label >= 0 for _, label in examples), False)


def _places(splits: Sequence[str]) -> dict[str, str]:
    """Split → folder of its classes; ``""`` for all where there is no train with another to set beside it."""
    known = {split: SPLIT_FOLDERS[split.lower()] for split in splits if split.lower() in SPLIT_FOLDERS}
    if TRAIN in known.values() and len(set(known.values())) > 1:
        return known
    return dict.fromkeys(known or splits, "")


def _write_split(
    source: TfdsSet, split: str, folder: Path, images_a_class: int | None, progress: Progress
) -> Counter[str]:
    """Write the images of one split and count them by folder."""
    written: Counter[str] = Counter()
    left_out = 0
    room = sys.maxsize if images_a_class is None else images_a_class * len(source.folders)
    with contextlib.closing(_examples(source, split)) as examples:
        for index, (data, label) in enumerate(examples):
            name = source.folders[label] if label >= 0 else ""
            if written[name] == images_a_class:
                continue
            file = _as_file(data) if name else None
            if file is None:
                left_out += 1
                continue
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / f"{split}-{index:05d}{file.extension}").write_bytes(file.data)
            written[name] += 1
            room -= 1
            progress.advance()
            if not room:
                break
    if left_out:
        LOGGER.warning("%s: %d images of %s have no label or cannot be read", source.name, left_out, split)
    return written


class _File(NamedTuple):
    data: bytes
    extension: str


def _as_file(data: bytes) -> _File | None:
    """The image as it is stored, or as PNG where legoclf does not read its format; None: no image."""
    with contextlib.suppress(ImageError):
        return _File(data, _EXTENSIONS[read_header(data, "image").format])
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("pillow", "train") from error
    buffer = BytesIO()
    try:
        with Image.open(BytesIO(data)) as picture:
            picture.convert("RGBA").save(buffer, "PNG")
    except Exception:  # Pillow's decoders raise whatever broken data leads them to
        return None
    return _File(buffer.getvalue(), ".png")


def _description(source: TfdsSet, images: dict[str, dict[str, int]]) -> dict[str, Any]:
    info = source.builder.info
    licence = info.redistribution_info.license if info.redistribution_info else ""
    return {
        "name": source.name,
        "source": "tensorflow_datasets",
        "version": info.full_name,
        "homepage": info.homepage,
        "licence": licence or "not stated",
        "images": images,
    }
