"""Features that a test can tell apart: rows around one centre a class."""

import numpy as np

from legoclf.retrain.heads import Features, Head, accuracy_and_cross_entropy

NOTHING = Features(np.zeros((0, 16), np.float32), np.zeros(0, np.int64))


def clusters(per_class: list[int], size: int = 16, spread: float = 0.5, seed: int = 0) -> Features:
    """Rows around one random centre a class, all positive as features after ReLU6 are."""
    centres = np.random.default_rng(9).random((len(per_class), size))
    labels = np.repeat(np.arange(len(per_class)), per_class)
    rows = centres[labels] + spread * np.random.default_rng(seed).random((len(labels), size))
    return Features(rows.astype(np.float32), labels)


def accuracy(head: Head, features: Features) -> float:
    return accuracy_and_cross_entropy(head.logits(features.rows), features.labels)[0]
