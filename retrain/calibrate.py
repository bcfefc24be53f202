"""Probabilities that mean what they say: temperature scaling, and the error that it is judged by.

Guo et al., "On Calibration of Modern Neural Networks" (2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import NamedTuple

import numpy as np

from legoclf.retrain.heads import Head, accuracy_and_cross_entropy, softmax

#: Temperatures looked at: past these a head knows nothing, or names every held-out image right.
TEMPERATURES = (0.05, 20.0)

#: Twice the log likelihood that a temperature must gain over none: 95 % of chi-squared with one degree of
#: freedom. A gain below it is what chance alone gives.
LEAST_GAIN = 3.84


class CalibrationBin(NamedTuple):
    """Answers of like confidence, above ``low`` up to ``high``: how sure they are, how often right."""

    low: float
    high: float
    count: int  # type: ignore[assignment]
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """What the logits of a head are divided by, and what that rests on.

    source: the held-out answers it was fitted on, ``out-of-fold`` or ``validation``. test_error_before,
    test_error_after: expected calibration error on the test images; None if there are none.
    """

    temperature: float
    images: int
    source: str
    test_error_before: float | None = None
    test_error_after: float | None = None


def calibration_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> list[CalibrationBin]:
    """Answers by the probability of the name they give, in bins of equal width; empty ones are left out.

    Args:
        probabilities: float [N, C].
        labels: int [N], what is true.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return [
        CalibrationBin(
            index / bins,
            (index + 1) / bins,
            int((place == index).sum()),
            float(confidence[place == index].mean()),
            float(right[place == index].mean()),
        )
        for index in np.unique(place).tolist()
    ]


def expected_calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Mean distance of confidence from accuracy, each bin weighing as its answers; 0 for no bins."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / max(1, total)


def calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error of logits [N, C], in 15 bins."""
    return expected_calibration_error(calibration_bins(softmax(logits), labels))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits by so that held-out labels are likeliest; 1 where chance would gain as much.

    Args:
        logits: float [N, C], of images that the head did not learn from.
        labels: int [N].
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return 1.0
    wide = logits.astype(np.float64)

    def cross_entropy(log_temperature: float) -> float:
        return accuracy_and_cross_entropy(wide / np.exp(log_temperature), labels)[1]

    low, high = (log(end) for end in TEMPERATURES)
    found = minimize_scalar(cross_entropy, bounds=(low, high), method="bounded", options={"xatol": 1e-5})
    gain = 2 * len(labels) * (cross_entropy(0.0) - float(found.fun))
    return float(np.exp(found.x)) if gain > LEAST_GAIN else 1.0


def with_temperature(head: Head, temperature: float) -> Head:
    """The head whose logits are divided by a temperature: no answer changes, only how sure it is."""
    divisor = np.float32(temperature)
    said = head.validation_logits
    return replace(
        head,
        weights=head.weights / divisor,
        bias=head.bias / divisor,
        how={**head.how, "temperature": temperature},
        validation_logits=None if said is None else said / divisor,
    )


def calibrated(
    head: Head, logits: np.ndarray, labels: np.ndarray, source: str = "validation"
) -> tuple[Head, Calibration]:
    """A head made as sure as it is right, by what it, or its like, said of images not learnt from.

    Args:
        logits: float [N, C] of those images.
        labels: int [N], what is true of them.
    """
    temperature = fit_temperature(logits, labels)
    return with_temperature(head, temperature), Calibration(temperature, len(labels), source)
