"""Overfitting and underfitting are called by name, and noise is not."""

import numpy as np
import pytest

from legoclf.retrain import fit_watch
from legoclf.retrain.fit_watch import FitWatch
from legoclf.retrain.heads import Evaluation


def falling(count: int, floor: float = 0.3) -> np.ndarray:
    """A loss as it is in a training that goes well."""
    return floor + 1.5 * np.exp(-6 * np.arange(1, count + 1) / count)


def rising(count: int, turn: float = 0.4) -> np.ndarray:
    """A validation loss that falls, and from ``turn`` of the run on rises again."""
    return falling(count) + np.maximum(0, np.arange(1, count + 1) / count - turn) * 0.8


def learnt_by_heart(count: int) -> np.ndarray:
    """A training loss that falls to the end."""
    return falling(count) * (1.2 - np.arange(1, count + 1) / count)


def noise(count: int, deviation: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, deviation, count)


def watched(validation: np.ndarray, train: np.ndarray, accuracy: float = 0.95) -> tuple[FitWatch, list[str]]:
    """A watch that has seen it all, and its warnings, each after the step that it came at."""
    watch, warnings = FitWatch(), []
    for step, (held_out, own) in enumerate(zip(validation, train, strict=True), 1):
        warning = watch.add(Evaluation(step, accuracy, float(own), 0.8, float(held_out)))
        if warning:
            warnings.append(f"{step}: {warning}")
    return watch, warnings


def test_overfitting_is_warned_of_with_the_epoch_it_began() -> None:
    _, warnings = watched(rising(12), learnt_by_heart(12))
    lowest = int(rising(12).argmin()) + 1
    assert f"overfitting since epoch {lowest}" in warnings[0]


def test_overfitting_is_warned_of_before_the_loss_has_doubled() -> None:
    validation = rising(30)
    _, warnings = watched(validation, learnt_by_heart(30))
    assert validation[int(warnings[0].partition(":")[0]) - 1] < 2 * validation.min()


def test_one_spell_of_overfitting_is_warned_of_once() -> None:
    assert len(watched(rising(60), learnt_by_heart(60))[1]) == 1


def test_a_second_spell_is_warned_of_again() -> None:
    wave = np.concatenate(
        [falling(10), np.linspace(0.3, 0.6, 10), np.linspace(0.6, 0.2, 20), np.linspace(0.2, 0.6, 20)]
    )
    assert len(watched(wave, np.linspace(1, 0.1, 60))[1]) == 2


@pytest.mark.parametrize(("count", "deviation"), [(12, 0.03), (100, 0.05), (400, 0.1)])
def test_noise_is_not_called_overfitting(count: int, deviation: float) -> None:
    """The noisiest, 400 evaluations a third of their level apart, is that of SGD's batches of 100."""
    false = 0
    for seed in range(40):
        validation = falling(count) + noise(count, deviation, seed)
        train = falling(count) * 0.8 + noise(count, deviation, seed + 1000)
        false += bool(watched(validation, train)[1])
    assert false <= 1


@pytest.mark.parametrize(("count", "deviation"), [(12, 0.03), (100, 0.05), (400, 0.1)])
def test_overfitting_is_seen_through_noise(count: int, deviation: float) -> None:
    seen = 0
    for seed in range(20):
        validation = rising(count) + noise(count, deviation, seed)
        train = learnt_by_heart(count) + noise(count, deviation, seed + 1000)
        seen += bool(watched(validation, train)[1])
    assert seen >= 19


def test_a_validation_loss_that_rises_with_the_training_loss_is_no_overfitting() -> None:
    assert watched(rising(30), rising(30))[1] == []


def test_a_rise_of_a_few_percent_is_no_overfitting() -> None:
    validation = np.concatenate([falling(15), np.linspace(0.3037, 0.31, 15)])
    assert watched(validation, learnt_by_heart(30))[1] == []


def test_overfitting_is_over_once_the_loss_is_back() -> None:
    watch, _ = watched(
        np.concatenate([falling(10), np.linspace(0.3, 0.6, 10), np.linspace(0.6, 0.2, 20)]),
        np.linspace(1, 0.1, 40),
    )
    assert not watch.overfitting


def test_without_validation_images_nothing_is_said() -> None:
    watch = FitWatch()
    assert [watch.add(Evaluation(step, 0.9, 1 / step, None, None)) for step in range(1, 20)] == [None] * 19
    assert watch.verdict().kind == fit_watch.UNKNOWN


@pytest.mark.parametrize(
    ("validation", "train", "accuracy", "kind"),
    [
        (rising(20), learnt_by_heart(20), 0.99, fit_watch.OVERFITTING),
        (np.linspace(2.0, 0.5, 20), np.linspace(2.0, 0.5, 20), 0.7, fit_watch.LEARNING),
        (falling(40, 1.2), falling(40, 1.2), 0.5, fit_watch.UNDERFITTING),
        (falling(40), falling(40), 0.97, fit_watch.FITTING),
        (falling(4), falling(4), 0.97, fit_watch.UNKNOWN),
    ],
)
def test_the_verdict_on_a_whole_training(
    validation: np.ndarray, train: np.ndarray, accuracy: float, kind: str
) -> None:
    assert watched(validation, train, accuracy)[0].verdict().kind == kind


def test_the_verdict_names_the_epoch_after_which_it_overfitted() -> None:
    verdict = watched(rising(20), learnt_by_heart(20))[0].verdict()
    assert verdict.best == int(rising(20).argmin()) + 1


def test_noise_is_measured_whatever_the_trend() -> None:
    trend = np.linspace(5, 0, 2000)
    # Of 2000 values the deviation is known to 2 %.
    assert fit_watch.noise(trend + noise(2000, 0.1, 0)) == pytest.approx(0.1, rel=0.08)
