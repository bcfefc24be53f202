"""How many held-out images a network names right, by the very path that a camera's frames take.

Held out are the images that the bundle's training tested on. They are found again by the split that it
recorded: the hash of an image's path puts it into the same set wherever the folder lies.
"""

import os
import unicodedata
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.bundle import Bundle
from legoclf.errors import ImageError, LegoclfError, UsageError
from legoclf.image import is_hidden_name, iter_image_files, read_image
from legoclf.image_header import read_header_of_file
from legoclf.jetson.frame import Frame
from legoclf.jetson.runtime import Runtime
from legoclf.recorded_split import recorded_split
from legoclf.split import FULLPATH, SPLIT_FOLDERS, TEST, TRAIN, VALIDATION, clean_label, split_class


class HeldOut(NamedTuple):
    """images: path and index of its label, sorted by path. how: what they are, in words."""

    images: List[Tuple[str, int]]
    how: str


class Named(NamedTuple):
    """right: 1 of each image that was named right, 0 of each that was not. unreadable: images left out."""

    right: List[float]
    unreadable: int


def held_out(bundle: Bundle, image_dir: str, every: bool = False) -> HeldOut:
    """The images to test with.

    Where the training recorded its split, those of its test set; where it did not, or ``every`` is set, all.
    A folder called ``test`` beside one called ``train`` is the test set. Images whose header shows that they
    cannot be used are left out before the split, as in training.

    Args:
        image_dir: folders named like the labels, or folders of those called train, val and test.

    Raises:
        UsageError: there is no such folder.
        LegoclfError: no image is left; the message has the mend.
    """
    if not os.path.isdir(image_dir):
        raise UsageError("--image_dir: {}: no such folder".format(image_dir))
    settings = None if every else recorded_split(bundle) or None
    given = _split_folders(bundle, image_dir)
    if not every and TEST in given:
        folders, settings, how = [given[TEST]], None, "all images of its folder {}".format(_name(given[TEST]))
    elif settings is not None:
        folders, how = [given.get(TRAIN, image_dir)], "the test set of the split that its training recorded"
        if VALIDATION in given:
            settings = dict(settings, validation_percentage=0)
    else:
        folders, how = sorted(given.values()) or [image_dir], "all images of {}".format(_name(image_dir))
        how += ", as --all_images says" if every else ", for its training recorded no split"
    images = []
    for index, paths in sorted(_by_label(bundle, folders).items()):
        chosen = paths if settings is None else _test_set(paths, image_dir, settings)
        images += [(path, index) for path in chosen]
    if not images:
        raise LegoclfError(_nothing(bundle, image_dir, settings))
    return HeldOut(sorted(images), how + _compared(bundle, settings, len(images)))


def name_images(runtime: Runtime, images: Iterable[Tuple[str, int]]) -> Named:
    """Put each image through a runtime as a frame of a camera.

    Raises:
        LegoclfError: none of them can be read.
    """
    right: List[float] = []
    failures: List[ImageError] = []
    for place, (path, label) in enumerate(images):
        try:
            pixels = np.ascontiguousarray(read_image(path)[:, :, ::-1])
        except ImageError as error:
            failures.append(error)
            continue
        # A number below 0: not one of a camera's frames, after which the way up to the GPU is chosen anew.
        answers = runtime.classify(Frame(pixels, "BGR", -1 - place, 0.0))
        right.append(float(answers.probabilities[0].argmax() == label))
    if not right:
        raise LegoclfError("no held-out image can be read; the first: {}".format(failures[0]))
    return Named(right, len(failures))


def recorded_note(bundle: Bundle) -> str:
    """What the bundle's training said of its accuracy, in one line."""
    accuracy, images = bundle.metrics.get("test_accuracy"), bundle.metrics.get("images")
    if not isinstance(accuracy, float) or not isinstance(images, dict):
        return "accuracy: not measured, and not recorded by its training; give --image_dir"
    interval = bundle.metrics.get("test_accuracy_interval_95")
    text = "accuracy: not measured; {:.1f} % of {} images".format(100 * accuracy, images.get("test"))
    if isinstance(interval, list) and len(interval) == 2:
        text += " (95 % interval {:.1f} to {:.1f} %)".format(*(100 * bound for bound in interval))
    return text + " as recorded by its training; --image_dir measures it here"


def _name(folder: str) -> str:
    """A folder without what it lies in, which is nobody's business in a published result."""
    return os.path.basename(os.path.abspath(folder))


def _split_folders(bundle: Bundle, image_dir: str) -> Dict[str, str]:
    """The folder of each set, where the first level is the split and not the classes."""
    folders = _folders(image_dir)
    if any(_label_of(bundle, name) is not None for name in folders):
        return {}
    sets = {SPLIT_FOLDERS.get(name.lower(), ""): os.path.join(image_dir, name) for name in folders}
    return {name: folder for name, folder in sets.items() if name}


def _by_label(bundle: Bundle, folders: List[str]) -> Dict[int, List[str]]:
    """The images in each label's folders that can be used, by their headers."""
    found: Dict[int, List[str]] = {}
    for folder in folders:
        for name in _folders(folder):
            index = _label_of(bundle, name)
            if index is not None:
                paths = iter_image_files(os.path.join(folder, name))
                found.setdefault(index, []).extend(path for path in paths if _is_usable(path))
    return found


def _folders(folder: str) -> List[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name for entry in entries if entry.is_dir() and not is_hidden_name(entry.name)
            )
    except OSError as error:
        raise LegoclfError("cannot list the folder {}: {}".format(folder, error.strerror)) from error


def _label_of(bundle: Bundle, folder: str) -> Optional[int]:
    """The label that a folder is called after, as written or in retrain.py's form."""
    # Labels are in NFC; macOS hands out names decomposed.
    name = unicodedata.normalize("NFC", folder)
    for label in (name, clean_label(name)):
        if label in bundle.labels:
            return bundle.labels.index(label)
    return None


def _is_usable(path: str) -> bool:
    try:
        read_header_of_file(path)
    except ImageError:
        return False
    return True


def _test_set(paths: List[str], image_dir: str, settings: Dict[str, Any]) -> List[str]:
    """The images of one class that its training tested on."""
    is_full = settings["split_hash"] == FULLPATH
    by_key = {
        path if is_full else os.path.relpath(path, image_dir).replace(os.sep, "/"): path for path in paths
    }
    sets = split_class(
        by_key, settings["testing_percentage"], settings["validation_percentage"], settings["split_hash"]
    )
    return [by_key[key] for key, name in sets.items() if name == TEST]


def _compared(bundle: Bundle, settings: Optional[Dict[str, Any]], count: int) -> str:
    """Whether the test set is as large as it was in training."""
    images = bundle.metrics.get("images")
    then = images.get("test") if isinstance(images, dict) else None
    if settings is None or then in (None, count):
        return ""
    return "; its training tested on {}, so the folder is not what it was".format(then)


def _nothing(bundle: Bundle, image_dir: str, settings: Optional[Dict[str, Any]]) -> str:
    if settings is not None and _by_label(bundle, [image_dir]):
        return (
            "--image_dir: {}: none of its images is in the test set that the training recorded "
            "(--testing_percentage {:g}); --all_images takes all, where none of them trained".format(
                image_dir, settings["testing_percentage"]
            )
        )
    shown = ", ".join(bundle.labels[:3])
    return "--image_dir: {}: holds no images in folders named like the labels ({}, …)".format(
        image_dir, shown
    )
