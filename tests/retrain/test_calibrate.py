"""Calibration: its error and temperature by definition; answers stay, how sure they are is mended."""

import numpy as np
import pytest
from clusters import clusters

from legoclf.retrain.calibrate import (
    calibrated,
    calibration_bins,
    calibration_error,
    expected_calibration_error,
    fit_temperature,
)
from legoclf.retrain.heads import Features, Head, softmax
from legoclf.retrain.lbfgs import train_lbfgs


def drawn(factor: float, images: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits of 5 classes that are ``factor`` times those the labels were drawn by."""
    random = np.random.default_rng(0)
    true = random.normal(0, 2, (images, 5))
    labels = (softmax(true).cumsum(axis=1) < random.random((images, 1))).sum(axis=1)
    return true * factor, labels


def test_bins_hold_what_was_counted_by_hand() -> None:
    """Four answers in two bins of 0.5: one at 0.5 exactly, which belongs to the lower; three above."""
    probabilities = np.array([[0.5, 0.3, 0.2], [0.8, 0.1, 0.1], [0.1, 0.9, 0.0], [1.0, 0.0, 0.0]])
    low, high = calibration_bins(probabilities, np.array([0, 0, 2, 0]), bins=2)
    assert low == (0.0, 0.5, 1, 0.5, 1.0)
    assert high == pytest.approx((0.5, 1.0, 3, 0.9, 2 / 3))
    # 1/4 * 0.5 + 3/4 * (0.9 - 2/3)
    assert expected_calibration_error([low, high]) == pytest.approx(0.3)


@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_the_temperature_undoes_a_factor_of_the_logits(factor: float) -> None:
    # Of 4000 images the temperature is known to about 2 %.
    assert fit_temperature(*drawn(factor)) == pytest.approx(factor, rel=0.06)


def test_a_gain_that_chance_would_bring_leaves_the_temperature_at_one() -> None:
    assert fit_temperature(*drawn(1.0, images=60)) == 1.0


def test_without_images_the_temperature_is_one() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, np.int64)) == 1.0


def test_images_all_named_right_leave_a_finite_temperature() -> None:
    assert np.isfinite(1 / fit_temperature(10 * np.eye(3), np.arange(3)))


def test_a_calibrated_head_answers_the_same_and_errs_less() -> None:
    """The error over 4000 answers that are calibrated is a percent or so, of chance."""
    logits, labels = drawn(3.0)
    head = Head(np.eye(5, dtype=np.float32), np.zeros(5, np.float32), {"name": "made"}, logits)
    surer, calibration = calibrated(head, logits, labels)
    assert np.array_equal(surer.logits(logits).argmax(axis=1), logits.argmax(axis=1))
    assert calibration_error(surer.logits(logits), labels) < 0.03 < calibration_error(logits, labels)
    assert surer.validation_logits is not None
    assert np.allclose(surer.validation_logits, logits / calibration.temperature, rtol=1e-5)
    assert surer.how["temperature"] == calibration.temperature


def test_without_validation_lbfgs_takes_the_l2_it_is_given() -> None:
    train = clusters([10, 10])
    nothing = Features(train.rows[:0], train.labels[:0])
    weak, strong = (train_lbfgs(train, nothing, 2, l2=l2) for l2 in (1e-4, 1.0))
    assert (weak.how["l2"], strong.how["l2"]) == (1e-4, 1.0)
    assert np.abs(weak.weights).sum() > 2 * np.abs(strong.weights).sum()
