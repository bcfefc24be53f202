"""What heads on frozen features say of images they did not learn from: for accuracy and calibration."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from legoclf.data.folder import DataSet
from legoclf.retrain.calibrate import (
    Calibration,
    calibrated,
    calibration_error,
    fit_temperature,
    with_temperature,
)
from legoclf.retrain.cross_validate import (
    Pooled,
    Sample,
    Trainer,
    cross_validate,
    out_of_fold_logits,
    smallest_class,
)
from legoclf.retrain.heads import Features, Head, train_sgd
from legoclf.retrain.lbfgs import train_lbfgs
from legoclf.retrain.settings import HEADS, Settings
from legoclf.split import TEST

LOGGER = logging.getLogger(__name__)

#: Folds that calibration trains again on, where a class has as many images.
CALIBRATION_FOLDS = 5

#: Validation images from which calibration needs no others: the temperature is then known to a few percent.
ENOUGH_VALIDATION = 1000


def samples_of(dataset: DataSet, rows: Sequence[np.ndarray]) -> list[Sample]:
    """Each image with its features, float32 [views, D]."""
    return [
        Sample(item.relative, item.label_index, row) for item, row in zip(dataset.images, rows, strict=True)
    ]


def trainer_of(settings: Settings, head: str, classes: int) -> Trainer:
    """How a head of a name is trained under these settings."""
    if head == "sgd":
        return lambda train, _: _sgd(settings, train, classes)
    return lambda train, validation: train_lbfgs(train, validation, classes, balance=settings.balance)


def cross_validated(settings: Settings, dataset: DataSet, rows: Sequence[np.ndarray]) -> list[Pooled]:
    """Pooled answers of the head of the settings, and of the other one if they are to be compared."""
    if not settings.cross_validate:
        return []
    names = [settings.head, *(name for name in HEADS if settings.compare_heads and name != settings.head)]
    LOGGER.info("cross-validating %s in %d folds", " and ".join(names), settings.cross_validate)
    trainers = {name: trainer_of(settings, name, len(dataset.labels)) for name in names}
    return cross_validate(samples_of(dataset, rows), settings.cross_validate, trainers)


def calibrate_head(
    settings: Settings,
    dataset: DataSet,
    rows: Sequence[np.ndarray],
    head: Head,
    features: dict[str, Features],
) -> tuple[Head, Calibration | None]:
    """The head with its temperature; as it is where nothing is there to fit one on, or an interrupt hurries.

    Few validation images leave a temperature to chance. Heads are then trained again on folds of the training
    and validation images, in the way and with the L2 of this one, and asked about those left out.

    Args:
        rows: of each image of the data set, float32 [views, D], the plain view first.
        features: of the images of each split.
    """
    validation, test = features["validation"], features["test"]
    if not settings.calibration or head.how.get("interrupted"):
        return head, None
    learnt = [
        sample
        for sample, item in zip(samples_of(dataset, rows), dataset.images, strict=True)
        if item.split != TEST
    ]
    try:
        if len(validation) < ENOUGH_VALIDATION and smallest_class(learnt) >= CALIBRATION_FOLDS:
            LOGGER.info("calibrating on %d folds", CALIBRATION_FOLDS)
            trainer = _same_again(settings, head, len(dataset.labels))
            logits, source = out_of_fold_logits(learnt, CALIBRATION_FOLDS, trainer), "out-of-fold"
            labels = np.array([sample.label for sample in learnt], np.int64)
        elif len(validation):
            said = head.validation_logits
            logits, source = head.logits(validation.rows) if said is None else said, "validation"
            labels = validation.labels
        else:
            return head, None
    except KeyboardInterrupt:
        return replace(head, how={**head.how, "interrupted": True}), None
    surer, calibration = calibrated(head, logits, labels, source)
    return surer, tested(calibration, head.logits(test.rows), test.labels)


def calibrate_network(
    settings: Settings, head: Head, features: dict[str, Features]
) -> tuple[Head, Calibration | None]:
    """The head of a network that learnt as a whole, calibrated on validation images alone.

    The others have shaped its features: a head trained anew on some of them would be as sure of the rest.
    It is made less sure by it, never surer: the validation images have chosen the epoch, and flatter it.
    """
    validation, test = features["validation"], features["test"]
    if not settings.calibration or not len(validation) or head.how.get("interrupted"):
        return head, None
    said = head.logits(validation.rows) if head.validation_logits is None else head.validation_logits
    temperature = max(1.0, fit_temperature(said, validation.labels))
    calibration = Calibration(temperature, len(validation), "validation")
    return with_temperature(head, temperature), tested(calibration, head.logits(test.rows), test.labels)


def tested(calibration: Calibration, logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """The calibration with what it does to test images, of their logits [N, C] before it."""
    if not len(labels):
        return calibration
    return replace(
        calibration,
        test_error_before=calibration_error(logits, labels),
        test_error_after=calibration_error(logits / np.float32(calibration.temperature), labels),
    )


def _same_again(settings: Settings, head: Head, classes: int) -> Trainer:
    """How a head is trained once more on other images, nothing being chosen anew."""
    if settings.head == "sgd":
        return lambda train, _: _sgd(settings, train, classes)
    strength = head.how["l2"]
    assert isinstance(strength, float)
    return lambda train, validation: train_lbfgs(
        train, validation, classes, l2=strength, balance=settings.balance
    )


def _sgd(settings: Settings, train: Features, classes: int) -> Head:
    nothing = Features(train.rows[:0], train.labels[:0])
    quiet = replace(settings.sgd, eval_step_interval=settings.sgd.how_many_training_steps)
    return train_sgd(train, nothing, classes, quiet, settings.seed, lambda _: None, balance=settings.balance)
