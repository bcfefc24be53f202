"""Which images train, which validate, which test: decided by a hash of the path, as in retrain.py.

The hash makes the split independent of order, of other files and of chance, so an image never moves from one
set to another between runs. Names that are equal up to ``_nohash_`` belong together: near-duplicates of one
thing must not lie on both sides.
"""

import hashlib
import re
import unicodedata
from typing import Dict, Iterable, List

from legoclf.errors import UsageError

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
SPLITS = (TRAIN, VALIDATION, TEST)

#: Folders by which a user has split a data set, in lower case.
SPLIT_FOLDERS: Dict[str, str] = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
    "testing": TEST,
}

RELATIVE = "relative"
FULLPATH = "fullpath"
SPLIT_HASHES = (RELATIVE, FULLPATH)

DEFAULT_TESTING_PERCENTAGE: float = 10
DEFAULT_VALIDATION_PERCENTAGE: float = 10

# retrain.py's MAX_NUM_IMAGES_PER_CLASS, the largest value the hash takes.
MAX_HASH = 2**27 - 1


def clean_label(folder_name: str) -> str:
    """retrain.py's label of a class folder: lower case, and a blank for what is not a-z or 0-9."""
    return re.sub(r"[^a-z0-9]+", " ", folder_name.lower())


def check_percentages(testing_percentage: float, validation_percentage: float) -> None:
    """Raise UsageError unless both are 0 or more and leave something to train on."""
    for name, value in (("testing", testing_percentage), ("validation", validation_percentage)):
        if not 0 <= value < 100:
            raise UsageError("--{}_percentage is {:g}; give 0 or more and less than 100".format(name, value))
    if testing_percentage + validation_percentage >= 100:
        raise UsageError(
            "--testing_percentage {:g} and --validation_percentage {:g} leave no image to train on; "
            "their sum must be below 100".format(testing_percentage, validation_percentage)
        )


def group_of(path: str, split_hash: str = RELATIVE) -> str:
    """The part of ``path`` that is hashed: everything before ``_nohash_``.

    ``relative``: ``path`` is relative to the data set, with ``/``; it is brought to Unicode NFC, since macOS
    hands out names decomposed. ``fullpath``: taken as it stands, like retrain.py.
    """
    if split_hash == RELATIVE:
        path = unicodedata.normalize("NFC", path)
    return re.sub(r"_nohash_.*$", "", path)


def percentage_of(group: str) -> float:
    """Where a group lies between 0 and 100; retrain.py's formula."""
    # surrogateescape: a file name that is not valid UTF-8 still has bytes to hash.
    digest = hashlib.sha1(group.encode("utf-8", "surrogateescape")).hexdigest()
    return (int(digest, 16) % (MAX_HASH + 1)) * (100.0 / MAX_HASH)


def split_of(
    path: str,
    testing_percentage: float = DEFAULT_TESTING_PERCENTAGE,
    validation_percentage: float = DEFAULT_VALIDATION_PERCENTAGE,
    split_hash: str = RELATIVE,
) -> str:
    """The set of one image by its hash alone: ``train``, ``validation`` or ``test``, as retrain.py."""
    percentage = percentage_of(group_of(path, split_hash))
    if percentage < validation_percentage:
        return VALIDATION
    if percentage < validation_percentage + testing_percentage:
        return TEST
    return TRAIN


def split_class(
    paths: Iterable[str],
    testing_percentage: float = DEFAULT_TESTING_PERCENTAGE,
    validation_percentage: float = DEFAULT_VALIDATION_PERCENTAGE,
    split_hash: str = RELATIVE,
) -> Dict[str, str]:
    """The set of every image of one class, none of them empty where that can be helped.

    With three images or more, a set that the hash left empty gets the group whose hash lies nearest to its
    range, taken from a set that keeps another; a set of 0 percent stays empty. A group is never torn, so a
    class of fewer than three groups cannot fill three sets: training comes first, then validation. A class
    of one or two images only trains.
    """
    groups: Dict[str, List[str]] = {}
    for path in paths:
        groups.setdefault(group_of(path, split_hash), []).append(path)
    if sum(len(members) for members in groups.values()) < 3:
        chosen = dict.fromkeys(groups, TRAIN)
    else:
        chosen = {g: split_of(g, testing_percentage, validation_percentage, split_hash) for g in groups}
        ranges = {
            TRAIN: (validation_percentage + testing_percentage, 100.0),
            VALIDATION: (0.0, validation_percentage),
            TEST: (validation_percentage, validation_percentage + testing_percentage),
        }
        for split in SPLITS:
            low, high = ranges[split]
            if high > low and split not in chosen.values():
                _fill(chosen, split, low, high)
    return {path: chosen[group] for group, members in groups.items() for path in members}


def _fill(chosen: Dict[str, str], split: str, low: float, high: float) -> None:
    """Move the group nearest to [low, high) into ``split``, unless every other set has just one."""
    held = list(chosen.values())
    # For training any set may give its last group: without training there is no class.
    spare = [group for group, its_split in chosen.items() if split == TRAIN or held.count(its_split) > 1]
    if spare:
        chosen[min(spare, key=lambda group: (_distance(percentage_of(group), low, high), group))] = split


def _distance(percentage: float, low: float, high: float) -> float:
    return max(low - percentage, percentage - high, 0.0)
