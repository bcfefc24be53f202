"""What a user should know about a data set before training on it; each finding says what to do."""

from collections.abc import Iterable

from legoclf.data.dataset import DataSet
from legoclf.data.images import same_contents
from legoclf.data.layout import some

# retrain.py's figure: with fewer images in a class it warned.
FEW_IMAGES = 20
MEND_HASHED = "3 images or more, in 3 groups (names equal up to `_nohash_`) or more, fill every set"


def findings(data: DataSet, hashed: Iterable[str], given: Iterable[str]) -> list[str]:
    """Warnings about classes with few images or with none in a set, and about duplicates.

    Args:
        data: the data set, split.
        hashed: the sets that were chosen by hash and should hold something of every class.
        given: the sets that have a folder of their own.
    """
    return [
        *_few_images(data),
        *_missing_in(data, hashed, MEND_HASHED),
        *_missing_in(data, given, "put some into its folder there"),
        *_duplicates(data),
    ]


def _few_images(data: DataSet) -> list[str]:
    sizes = {label: sum(counts.values()) for label, counts in data.counts().items()}
    few = [f"{label!r} ({size})" for label, size in sizes.items() if size < FEW_IMAGES]
    if not few:
        return []
    return [f"fewer than {FEW_IMAGES} images: {some(few)}; add more for a result to rely on"]


def _missing_in(data: DataSet, splits: Iterable[str], mend: str) -> list[str]:
    counts = data.counts()
    warnings = []
    for split in splits:
        missing = [label for label in data.labels if not counts[label][split]]
        if missing:
            named = some(f"{label!r} ({sum(counts[label].values())} images)" for label in missing)
            warnings.append(f"no {split} image of {named}: {mend}")
    return warnings


def _duplicates(data: DataSet) -> list[str]:
    items = {image.path: image for image in data.images}
    across_classes, across_splits = [], []
    for paths in same_contents(items):
        same = [items[path] for path in paths]
        named = " = ".join(image.relative for image in same)
        if len({image.label_index for image in same}) > 1:
            across_classes.append(named)
        elif len({image.split for image in same}) > 1:
            across_splits.append(named)
    warnings = []
    if across_classes:
        warnings.append(
            f"{len(across_classes)} image(s) lie in two classes ({some(across_classes)}): "
            "delete the wrong ones"
        )
    if across_splits:
        warnings.append(
            f"{len(across_splits)} image(s) lie in two sets ({some(across_splits)}), "
            "so that testing would meet what it trained on: "
            "delete the copies, or name them alike up to `_nohash_`"
        )
    return warnings
