"""Classes of unequal size: how much each image counts, and what is said of it."""

import numpy as np

from legoclf.data.dataset import DataSet
from legoclf.errors import UsageError
from legoclf.split import TRAIN

#: ``sample`` draws a class, then one of its images, as retrain.py does; ``weight`` takes images as they
#: come, and each counts more, the fewer its class has; ``none`` takes them as they come and alike.
BALANCES = ("sample", "weight", "none")

#: The largest class over the smallest, from which on it is worth a line.
UNEVEN = 3.0


def check_balance(balance: str) -> None:
    """Refuse a name that is none of BALANCES.

    Raises:
        UsageError: it is none.
    """
    if balance not in BALANCES:
        raise UsageError(f"--balance {balance}: expected {', '.join(BALANCES)}")


def class_weights(labels: np.ndarray) -> np.ndarray:
    """What each image counts so that classes count alike, 1 in the mean: float32 [N] of labels int [N]."""
    count = np.bincount(labels)
    weights: np.ndarray = (len(labels) / (np.count_nonzero(count) * count[labels])).astype(np.float32)
    return weights


def imbalance(dataset: DataSet, balance: str = BALANCES[0]) -> str | None:
    """A line on classes of very unequal size and on what is done about it; None if they are of a size."""
    images = {label: count[TRAIN] for label, count in dataset.counts().items() if count[TRAIN]}
    if not images:
        return None
    largest, smallest = max(images, key=images.__getitem__), min(images, key=images.__getitem__)
    ratio = images[largest] / images[smallest]
    if ratio < UNEVEN:
        return None
    done = {
        "sample": "classes are drawn alike often (--balance sample)",
        "weight": "images of small classes count more (--balance weight)",
        "none": "large classes count more; --balance sample or weight has them count alike",
    }[balance]
    return (
        f"classes are uneven: {largest!r} has {images[largest]} training images, "
        f"{smallest!r} {images[smallest]}, {ratio:.0f} to 1; {done}"
    )
