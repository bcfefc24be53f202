"""A folder of class folders as a data set: what is in it, its labels and its split.

The order of things is fixed, so that the same files always give the same split: files are listed, those whose
header already shows that they cannot be used are left out, and the rest is split. What fails later, on full
decoding, is dropped from its set and moves no other image. Files are only ever read.
"""

import os
import unicodedata
from collections import defaultdict
from dataclasses import replace

from legoclf.data.dataset import DataSet, ImageItem, refuse_rejected
from legoclf.data.findings import findings
from legoclf.data.images import Rejected, check_headers, check_images
from legoclf.data.layout import AS_WRITTEN, Layout, find_layout, some
from legoclf.errors import LegoclfError, UsageError
from legoclf.image import iter_image_files
from legoclf.split import (
    DEFAULT_TESTING_PERCENTAGE,
    DEFAULT_VALIDATION_PERCENTAGE,
    FULLPATH,
    RELATIVE,
    SPLIT_HASHES,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    check_percentages,
    split_class,
)

__all__ = ["DataSet", "ImageItem", "Rejected", "check_data_set", "scan_folder"]


def scan_folder(
    image_dir: str,
    *,
    labels: str = AS_WRITTEN,
    split_hash: str = RELATIVE,
    testing_percentage: float = DEFAULT_TESTING_PERCENTAGE,
    validation_percentage: float = DEFAULT_VALIDATION_PERCENTAGE,
    strict: bool = False,
) -> DataSet:
    """List, look over and split the images of ``image_dir``.

    A class is a folder of the first level with all that lies below it. Where the first level is ``train``
    with ``val`` (``valid``, ``validation``) or ``test`` or both, in whatever case, it is the split and the
    classes are one level down; a set without a folder is taken from the training images by hash. Headers
    are checked, pixels are not: see :func:`check_data_set`.

    Args:
        image_dir: the folder, as the user wrote it.
        labels: ``as-written``, or ``lowercase`` for retrain.py's labels.
        split_hash: ``relative`` to the data set, or ``fullpath`` for retrain.py's split.
        testing_percentage: part of each class to test on, 0-100.
        validation_percentage: part of each class to validate on, 0-100.
        strict: refuse images that cannot be used, where otherwise they are skipped.

    Raises:
        UsageError: no such folder, or percentages that leave nothing to train on.
        LegoclfError: colliding labels, fewer than two classes, or (strict) an unusable image.
    """
    check_percentages(testing_percentage, validation_percentage)
    if split_hash not in SPLIT_HASHES:
        raise UsageError(f"--split_hash: got {split_hash!r}, expected one of {', '.join(SPLIT_HASHES)}")
    layout = find_layout(image_dir, labels)
    files = {folder.path: list(iter_image_files(folder.path)) for folder in layout.class_folders}
    rejected = sorted(check_headers([path for paths in files.values() for path in paths]))
    if strict:
        refuse_rejected(rejected)
    bad = {failure.path for failure in rejected}
    usable = {folder: [path for path in paths if path not in bad] for folder, paths in files.items()}
    percentages = {TEST: testing_percentage, VALIDATION: validation_percentage}
    found, warnings = _learnable_classes(layout, usable, files)
    if len(found) < 2:
        raise LegoclfError(_too_few_classes(image_dir, list(found), layout, rejected))
    names = sorted(found)
    images = []
    for index, label in enumerate(names):
        splits = _split(image_dir, found[label], layout.given_splits, percentages, split_hash)
        images += [
            ImageItem(path, unicodedata.normalize("NFC", _relative(path, image_dir)), index, split)
            for path, split in splits.items()
        ]
    images.sort(key=lambda image: (image.relative, image.path))
    data = DataSet(image_dir, names, images, [], rejected)
    warnings = layout.warnings + warnings + _taken_from_train(layout, percentages)
    hashed = [split for split in percentages if percentages[split] > 0 and split not in layout.given_splits]
    return replace(data, warnings=warnings + findings(data, hashed, layout.given_splits))


def check_data_set(data: DataSet, *, jobs: int | None = None, strict: bool = False) -> DataSet:
    """Decode every image in full; the data set without those that fail. The split of the others stays.

    Raises:
        LegoclfError: (strict) an image cannot be used, or a class has no training image left.
    """
    failures = check_images([image.path for image in data.images], jobs)
    if strict:
        refuse_rejected(sorted(data.rejected + failures))
    return data.without(failures)


def _relative(path: str, image_dir: str) -> str:
    """What follows ``image_dir``, with which the path begins; os.path.relpath takes 30 times as long."""
    return path[len(image_dir) :].replace(os.sep, "/").lstrip("/")


def _learnable_classes(
    layout: Layout, usable: dict[str, list[str]], files: dict[str, list[str]]
) -> tuple[dict[str, dict[str, str | None]], list[str]]:
    """Label → usable path → given split, for the classes that can be learnt; warnings for the others."""
    found: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    seen: defaultdict[str, int] = defaultdict(int)
    for folder in layout.class_folders:
        seen[folder.label] += len(files[folder.path])
        found[folder.label].update(dict.fromkeys(usable[folder.path], folder.split))
    warnings = []
    empty = sorted(label for label, count in seen.items() if not count)
    if empty:
        warnings.append(
            f"no image in the class folder(s) {some(map(repr, empty))}: "
            "left out; put images in or delete the folder"
        )
    spoilt = sorted(label for label, count in seen.items() if count and not found[label])
    if spoilt:
        warnings.append(f"no usable image of {some(map(repr, spoilt))}: left out; see the skipped images")
    untaught = sorted(
        label for label, images in found.items() if images and not {TRAIN, None} & set(images.values())
    )
    if untaught:
        warnings.append(
            f"no training image of {some(map(repr, untaught))}: left out; put images into its training folder"
        )
    gone = {*empty, *spoilt, *untaught}
    return {label: images for label, images in found.items() if label not in gone}, warnings


def _split(
    image_dir: str,
    given: dict[str, str | None],
    given_splits: frozenset[str],
    percentages: dict[str, float],
    split_hash: str,
) -> dict[str, str]:
    """The set of each image of one class: the one its folder gives, else by hash."""
    splits = {path: split for path, split in given.items() if split in (VALIDATION, TEST)}
    share = {split: 0 if split in given_splits else percentages[split] for split in percentages}
    by_key = {
        path if split_hash == FULLPATH else _relative(path, image_dir): path
        for path in given
        if path not in splits
    }
    hashed = split_class(by_key, share[TEST], share[VALIDATION], split_hash)
    return {**splits, **{by_key[key]: split for key, split in hashed.items()}}


def _taken_from_train(layout: Layout, percentages: dict[str, float]) -> list[str]:
    if not layout.given_splits:
        return []
    return [
        f"there is no folder for {split}: {percentages[split]:g} % of the training images are used for it"
        for split in SPLITS
        if split not in layout.given_splits and percentages[split] > 0
    ]


def _too_few_classes(image_dir: str, labels: list[str], layout: Layout, rejected: list[Rejected]) -> str:
    because = ""
    if rejected:
        path, reason = rejected[0]
        because = f" ({len(rejected)} image(s) cannot be used, the first: {path}: {reason})"
    if not labels:
        return (
            f"{image_dir} has no class folder with images{because}: put the images of each class "
            "in a folder of its own, IMAGE_DIR/<class>/<image>"
        )
    hint = ""
    only = next(folder.path for folder in layout.class_folders if folder.label == labels[0])
    if any(os.path.dirname(path) != only for path in iter_image_files(only)):
        hint = f", or, if the folders inside it are the classes, give {only}"
    return (
        f"{image_dir} has only one class with images, {labels[0]!r}{because}: "
        f"add a folder of images of something else{hint}"
    )
