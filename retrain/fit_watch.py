"""Over- and underfitting called by name while training runs, and what to try next when it has ended."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from legoclf.retrain.heads import Evaluation

#: Evaluations that a mean is taken over, at least, and as a share of all there are: the figures of
#: SGD's small batches jump about, and there are hundreds of them.
PATIENCE = 3
_WINDOW_SHARE = 0.1

#: What the validation loss must have risen by, as a share, and in standard errors of the two means.
LEAST_RISE = 0.05
_SURE = 3.5

#: Below this accuracy on its own training images a network is said to underfit.
LOW_ACCURACY = 0.8

OVERFITTING = "overfitting"
UNDERFITTING = "underfitting"
LEARNING = "still learning"
FITTING = "fitting"
UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """How a training fits, one of the names above; the step with the best validation loss; and a line."""

    kind: str
    best: int | None
    line: str


class FitWatch:
    """Looks at the figures of a training as they come.

    Args:
        patience: evaluations that a trend must last.
        unit: what an evaluation's ``step`` counts, as people call it.
    """

    def __init__(self, patience: int = PATIENCE, unit: str = "epoch") -> None:
        self._patience = patience
        self._unit = unit
        self._seen: list[Evaluation] = []
        self._warned = False

    @property
    def overfitting(self) -> bool:
        """Whether it overfits now: a reason to stop."""
        return self._warned

    def add(self, evaluation: Evaluation) -> str | None:
        """A warning if overfitting is seen for the first time, or for the first time since it had passed."""
        if evaluation.validation_cross_entropy is None:
            return None
        self._seen.append(evaluation)
        if len(self._seen) < 2 * self._window:
            return None
        validation, train = self._losses()
        rise = _Change(validation, self._window)
        if self._warned and rise.size < LEAST_RISE / 2 * rise.before:
            self._warned = False
        if self._warned or not (rise.is_sure_rise and _fell(train, rise, self._window)):
            return None
        self._warned = True
        return (
            f"overfitting since {self._unit} {self._seen[self._best(rise)].step}: the validation loss "
            f"has risen from {rise.before:.3f} to {rise.after:.3f}, while the training loss fell "
            f"to {train[-self._window :].mean():.3f}"
        )

    def verdict(self) -> Verdict:
        """What can be said of the whole, once training has ended."""
        width = self._window
        if len(self._seen) < 2 * width:
            return Verdict(UNKNOWN, None, f"too few evaluations ({len(self._seen)}) to tell how it fits")
        validation, train = self._losses()
        rise = _Change(validation, width)
        best = self._seen[self._best(rise)].step
        accuracy = float(np.mean([evaluation.train_accuracy for evaluation in self._seen[-width:]]))
        if rise.is_sure_rise and _fell(train, rise, width):
            return Verdict(
                OVERFITTING, best, f"overfitting: the validation loss rises since {self._unit} {best}"
            )
        if _still_falls(validation, width):
            last = self._seen[-1].step
            line = f"still learning: the validation loss was falling at {self._unit} {last}, the last one"
            return Verdict(LEARNING, last, line)
        if accuracy < LOW_ACCURACY:
            line = (
                f"underfitting: {accuracy:.0%} of the training images are named right, and it learns no more"
            )
            return Verdict(UNDERFITTING, best, line)
        return Verdict(
            FITTING, best, f"fitting: the validation loss levelled off, best at {self._unit} {best}"
        )

    @property
    def _window(self) -> int:
        return max(self._patience, int(len(self._seen) * _WINDOW_SHARE))

    def _losses(self) -> tuple[np.ndarray, np.ndarray]:
        validation = [evaluation.validation_cross_entropy for evaluation in self._seen]
        train = [evaluation.train_cross_entropy for evaluation in self._seen]
        return np.array(validation, np.float64), np.array(train, np.float64)

    def _best(self, change: "_Change") -> int:
        """Index of the smallest validation loss within the best window."""
        validation, _ = self._losses()
        return change.lowest + int(np.argmin(validation[change.lowest : change.lowest + self._window]))


class _Change:
    """From the smallest mean of ``width`` values to that of the last ones.

    lowest: where the window of the smallest mean starts. size, error: of the change, and its standard error.
    """

    def __init__(self, values: np.ndarray, width: int) -> None:
        means = _means(values, width)
        # Windows that overlap the last one would hide a part of the change.
        self.lowest = int(np.argmin(means[: len(means) - width]))
        self.before, self.after = float(means[self.lowest]), float(means[-1])
        self.size = self.after - self.before
        self.error = noise(values) * (2 / width) ** 0.5

    @property
    def is_sure_rise(self) -> bool:
        return bool(self.size > max(LEAST_RISE * self.before, _SURE * self.error))


def noise(values: Sequence[float] | np.ndarray) -> float:
    """Standard deviation of values around their trend: by how far each is from the middle of its two."""
    values = np.asarray(values)
    if len(values) < 3:
        return 0.0
    off = values[1:-1] - (values[:-2] + values[2:]) / 2
    # Such a difference of three independent values has 1.5 times the variance of one.
    return float(np.sqrt(np.mean(np.square(off)) / 1.5))


def _means(values: np.ndarray, width: int) -> np.ndarray:
    return np.convolve(values, np.full(width, 1 / width), "valid")


def _fell(train: np.ndarray, change: _Change, width: int) -> bool:
    """Whether the training loss fell while the validation loss changed."""
    before, after = train[change.lowest : change.lowest + width].mean(), train[-width:].mean()
    return bool(before - after > noise(train) * (2 / width) ** 0.5)


def _still_falls(validation: np.ndarray, width: int) -> bool:
    """Whether the last window's mean is surely below that of the window before."""
    before, after = validation[-2 * width : -width].mean(), validation[-width:].mean()
    error = noise(validation) * (2 / width) ** 0.5
    return bool(before - after > max(LEAST_RISE * before, 2 * error))
