"""Which folders of a data set are classes, what they are called, and whether they come split already."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from legoclf.errors import LegoclfError, UsageError
from legoclf.image import is_hidden_name, is_image_name
from legoclf.split import SPLIT_FOLDERS, TRAIN, clean_label

AS_WRITTEN = "as-written"
LOWERCASE = "lowercase"


@dataclass(frozen=True)
class ClassFolder:
    """A folder of images of one class; ``split`` is None unless the user has split the data set."""

    path: str
    label: str
    split: str | None


@dataclass(frozen=True)
class Layout:
    """The class folders of a data set. ``given_splits`` are the sets that have a folder; empty: not split."""

    class_folders: list[ClassFolder]
    given_splits: frozenset[str] = frozenset()
    warnings: list[str] = field(default_factory=list)


def find_layout(image_dir: str, labels: str) -> Layout:
    """Find the class folders: the first level of ``image_dir``, or the second where the first is the split.

    Args:
        image_dir: the data set's folder.
        labels: ``as-written`` (brought to Unicode NFC, as file systems differ in it) or ``lowercase``.

    Raises:
        UsageError: there is no such folder.
        LegoclfError: two folders give one label, or a label would be empty.
    """
    if labels not in (AS_WRITTEN, LOWERCASE):
        raise UsageError(f"labels: got {labels!r}, expected {AS_WRITTEN!r} or {LOWERCASE!r}")
    if not image_dir:
        raise UsageError("no image folder given: name the folder that holds one folder for each class")
    if not os.path.exists(image_dir):
        raise UsageError(f"{image_dir}: no such folder")
    if not os.path.isdir(image_dir):
        raise UsageError(f"{image_dir} is a file: give the folder that holds one folder for each class")
    folders, strays = _list(image_dir)
    warnings = _stray_warning(image_dir, strays)
    split_folders = _find_split_folders(image_dir, folders)
    if not split_folders:
        found = _class_folders(image_dir, folders, labels, None)
        return Layout(found, frozenset(), warnings + _case_warning(found))
    found = []
    for name, split in split_folders.items():
        inner, strays = _list(os.path.join(image_dir, name))
        warnings += _stray_warning(os.path.join(image_dir, name), strays)
        found += _class_folders(os.path.join(image_dir, name), inner, labels, split)
    return Layout(found, frozenset(split_folders.values()), warnings + _case_warning(found))


def some(names: Iterable[str], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


def _list(folder: str) -> tuple[list[str], list[str]]:
    """Names of the folders and of the image files directly in ``folder``, each sorted."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise LegoclfError(f"cannot list the folder {folder}: {error.strerror}") from error
    shown = [entry for entry in entries if not is_hidden_name(entry.name)]
    images = [entry.name for entry in shown if is_image_name(entry.name) and not entry.is_dir()]
    return [entry.name for entry in shown if entry.is_dir()], images


def _find_split_folders(image_dir: str, folders: list[str]) -> dict[str, str]:
    """Folder name → set, where the folders are train and a second set, and no other; else nothing."""
    splits = {name: SPLIT_FOLDERS.get(name.lower()) for name in folders}
    if None in splits.values() or TRAIN not in splits.values() or len(splits) < 2:
        return {}
    inner = {name: _list(os.path.join(image_dir, name)) for name in folders}
    if any(images and not subfolders for subfolders, images in inner.values()):
        return {}  # images right inside: classes that happen to be called so
    used: dict[str, str] = {}
    for name, split in splits.items():
        if not inner[name][0]:
            continue
        if split in used.values():
            both = some(repr(other) for other in folders if splits[other] == split)
            raise LegoclfError(f"{image_dir} has two folders for {split} ({both}): merge them into one")
        used[name] = str(split)
    return used if TRAIN in used.values() else {}


def _class_folders(parent: str, names: list[str], labels: str, split: str | None) -> list[ClassFolder]:
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    to_label = clean_label if labels == LOWERCASE else _as_written
    for name in names:
        by_label[to_label(name)].append(name)
    for label, same in by_label.items():
        if len(same) > 1:
            raise LegoclfError(_collision(parent, label, same, labels))
        if not label.strip() or "\n" in label:
            mend = "leave out --lowercase_labels" if labels == LOWERCASE else "rename it"
            raise LegoclfError(
                f"the folder {same[0]!r} in {parent} gives the label {label!r}, "
                f"which has no letter a-z or digit or does not fit on one line: {mend}"
            )
    return [ClassFolder(os.path.join(parent, same[0]), label, split) for label, same in by_label.items()]


def _as_written(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _collision(parent: str, label: str, names: list[str], labels: str) -> str:
    mend = "rename one, or move its images into the other"
    if labels == LOWERCASE:
        mend += ", or leave out --lowercase_labels"
    # As written, only the Unicode form tells the two apart: ascii() makes that visible.
    both = some(ascii(name) if labels == AS_WRITTEN else repr(name) for name in names)
    return f"the folders {both} in {parent} give one label, {label!r}: {mend}"


def _stray_warning(folder: str, names: list[str]) -> list[str]:
    if not names:
        return []
    return [
        f"{len(names)} image(s) lie directly in {folder} and are left out ({some(names, 3)}): "
        "move each into the folder of its class"
    ]


def _case_warning(folders: list[ClassFolder]) -> list[str]:
    by_folded: defaultdict[str, set[str]] = defaultdict(set)
    for folder in folders:
        by_folded[folder.label.casefold()].add(folder.label)
    return [
        f"the labels {some(repr(label) for label in sorted(same))} differ only in upper and lower case: "
        "if they are one class, move their images into one folder"
        for same in by_folded.values()
        if len(same) > 1
    ]
