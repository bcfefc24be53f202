"""Data sets of TensorFlow Datasets: found by name, looked over, and fetched where they are not here yet."""

import difflib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from legoclf.data.tfds_fetching import fetch_tfds_set
from legoclf.data.tfds_names import TFDS_PREFIX, class_folders, one_line, tfds_parts
from legoclf.errors import LegoclfError, UsageError, missing_package


class TfdsSet(NamedTuple):
    """A prepared data set. ``builder``: TFDS's; ``image``, ``label``: features; ``folders``: one a class."""

    name: str
    builder: Any
    image: str
    label: str
    folders: list[str]


def open_tfds_set(name: str, cache_dir: Path) -> TfdsSet:
    """Find a data set, refuse one that is not for image classification, and have TFDS fetch it if need be.

    Args:
        name: ``tfds:`` and the name, as TFDS writes it.
        cache_dir: legoclf's; TFDS keeps its files below, unless ``$TFDS_DATA_DIR`` names another folder.

    Raises:
        UsageError: no data set has that name.
        LegoclfError: TFDS is not installed, the set has not one image and one class label, or it cannot be
            fetched; the message says how to bring it.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise missing_package("tensorflow-datasets", "tfds") from error
    # TFDS tells of every file that it opens, and warns of its own use of its own old names.
    logging.getLogger("absl").setLevel(logging.ERROR)
    data_dir = Path(os.environ.get("TFDS_DATA_DIR") or cache_dir / "tensorflow_datasets").expanduser()
    builder = _builder(tfds, name, data_dir)
    image, label = _image_and_label(tfds, name, builder.info)
    if not builder.is_prepared():
        fetch_tfds_set(tfds, name, builder, data_dir)
    return TfdsSet(name, builder, image, label, class_folders(builder.info.features[label].names))


def _builder(tfds: Any, name: str, data_dir: Path) -> Any:
    try:
        return tfds.builder(name.removeprefix(TFDS_PREFIX), data_dir=str(data_dir))
    except Exception as error:  # TFDS has a class for each thing that it does not find
        raise UsageError(f"--dataset {name}: {_why_not_found(tfds, name, error)}") from error


def _why_not_found(tfds: Any, name: str, error: Exception) -> str:
    parts = tfds_parts(name)
    known = tfds.list_builders(with_community_datasets=False)
    if parts["set"] not in known:
        return f"TensorFlow Datasets has no {parts['set']}; {_nearest(str(parts['set']), known)}"
    configs = list(tfds.builder_cls(parts["set"]).builder_configs)
    if parts["config"] is not None and parts["config"] not in configs:
        nearest = _nearest(parts["config"], configs) if configs else "leave it out"
        return f"{parts['set']} has no config {parts['config']}; {nearest}"
    return one_line(error)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 3) or [other for other in known if name in other][:3]
    if near:
        return f"the nearest: {', '.join(near)}"
    return "its names are at https://www.tensorflow.org/datasets/catalog/overview"


def _image_and_label(tfds: Any, name: str, info: Any) -> tuple[str, str]:
    """The features to learn from: those the set names for it, else its only image and only class label.

    Of several class labels, the one called ``label`` counts, as all sets of TFDS call the main one.
    """
    features = dict(info.features) if isinstance(info.features, tfds.features.FeaturesDict) else {}
    images = [key for key, feature in features.items() if _is_image(tfds, feature)]
    labels = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes
    ]
    match info.supervised_keys:
        case (str() as image, str() as label) if image in images and label in labels:
            return image, label
    labels = ["label"] if "label" in labels else labels
    if len(images) == len(labels) == 1:
        return images[0], labels[0]
    has = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in sorted(features.items()))
    raise LegoclfError(
        f"--dataset {name}: not for image classification: expected one image (Image of 8 or 16 bits) "
        f"and one label (ClassLabel), it has {has or type(info.features).__name__}; choose another data set"
    )


def _is_image(tfds: Any, feature: Any) -> bool:
    """Whether it is a picture; float values are no picture but stand bit by bit in a PNG of four channels."""
    if not isinstance(feature, tfds.features.Image) or isinstance(feature, tfds.features.LabeledImage):
        return False
    return np.dtype(feature.np_dtype).kind == "u"
