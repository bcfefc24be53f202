"""Cross-validation of networks whose own weights learn: each fold trains one anew, as a run would.

That of heads on frozen features, which no fold changes, is in cross_validate.py; the folds are the same.
"""

import logging
from collections.abc import Sequence

import numpy as np

from legoclf.contract import InputContract
from legoclf.data.dataset import DataSet, ImageItem
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.cross_validate import Pooled, features_of, partitions, where
from legoclf.retrain.head_training import validation_logits
from legoclf.retrain.heads import Features
from legoclf.retrain.held_out import samples_of, trainer_of
from legoclf.retrain.networks.batches import ImageBatches
from legoclf.retrain.networks.devices import Devices
from legoclf.retrain.networks.shared import TrainedNetwork
from legoclf.retrain.settings import Settings
from legoclf.retrain.whole_network import refitted, serves_better, train_named_network

LOGGER = logging.getLogger(__name__)

#: Training, validation and test images of a fold.
_Sets = tuple[Sequence[ImageItem], Sequence[ImageItem], Sequence[ImageItem]]


def cross_validated_network(
    settings: Settings,
    dataset: DataSet,
    contract: InputContract,
    rows: Sequence[np.ndarray] | None,
    devices: Devices,
) -> list[Pooled]:
    """Pooled answers of a network over folds; of fine-tuning, those of the frozen head on the same folds too.

    In each fold fine-tuning falls back to the head as it does in a run.

    Args:
        rows: of each image, the frozen features, float32 [views, D]; None where nothing is frozen.
    """
    folds = settings.cross_validate
    if not folds:
        return []
    classes = len(dataset.labels)
    samples = samples_of(dataset, rows or [np.zeros((1, 1), np.float32)] * len(dataset.images))
    names = [settings.network.name, *([settings.head] if rows is not None else [])]
    right = {name: np.zeros(len(samples), bool) for name in names}
    for number, partition in enumerate(partitions(samples, folds), 1):
        LOGGER.info("cross-validating %s: fold %d of %d", names[0], number, folds)
        masks = partition.train, partition.validation, partition.test
        train, validation, test = ([dataset.images[i] for i in np.flatnonzero(mask)] for mask in masks)
        sets = train, validation, test
        if rows is None:
            said = [_from_scratch(settings, contract, sets, classes, devices)]
        else:
            learnt, held_out, tested = (
                features_of(where(samples, mask), views)
                for mask, views in zip(masks, (None, 1, 1), strict=True)
            )
            said = _fine_tuned(settings, contract, sets, (learnt, held_out, tested), classes, devices)
        truth = np.array([item.label_index for item in test], np.int64)
        for name, logits in zip(names, said, strict=True):
            right[name][partition.test] = logits.argmax(axis=1) == truth
    return [Pooled(name, right[name]) for name in names]


def _from_scratch(
    settings: Settings, contract: InputContract, sets: _Sets, classes: int, devices: Devices
) -> np.ndarray:
    """What a small network says of the test images of a fold, float32 [N, C]."""
    train, validation, test = sets
    trained = train_named_network(settings, contract, train, validation, classes, None, devices)
    return trained.head.logits(_features(trained, test, contract).rows)


def _fine_tuned(
    settings: Settings,
    contract: InputContract,
    sets: _Sets,
    frozen_features: tuple[Features, Features, Features],
    classes: int,
    devices: Devices,
) -> list[np.ndarray]:
    """What a fine-tuned network, and the head on frozen features, say of those images: [N, C] each."""
    train, validation, _ = sets
    learnt, held_out, tested = frozen_features
    frozen = trainer_of(settings, settings.head, classes)(learnt, held_out)
    frozen_said = frozen.logits(tested.rows)
    trained = train_named_network(settings, contract, train, validation, classes, frozen, devices)
    learnt, now_held_out, tested = (_features(trained, items, contract) for items in sets)
    head = refitted(settings, trained.head, learnt, now_held_out)
    answers = validation_logits(head, now_held_out), validation_logits(frozen, held_out)
    is_better = serves_better(*answers, held_out.labels)
    return [head.logits(tested.rows) if is_better else frozen_said, frozen_said]


def _features(trained: TrainedNetwork, items: Sequence[ImageItem], contract: InputContract) -> Features:
    """A network's features of images, as they are."""
    labels = np.array([item.label_index for item in items], np.int64)
    size = trained.head.weights.shape[0]
    with ImageBatches(items, contract, Augmentation(), 64, 0) as batches:
        rows = [np.asarray(trained.features(batch.images)) for batch in batches.plain()]
    return Features(np.concatenate(rows) if rows else np.zeros((0, size), np.float32), labels)
