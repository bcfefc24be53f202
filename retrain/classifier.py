"""The ways from a data set to a trained classifier: a head alone, fine-tuning, a network from scratch.

All of them end with a :class:`Classifier`; nothing that follows asks which way it was.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from legoclf.contract import InputContract, unit_range_contract
from legoclf.data.dataset import DataSet
from legoclf.errors import printable
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.balance import imbalance
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.cross_validate_network import cross_validated_network
from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector
from legoclf.retrain.features import extract_features, gather
from legoclf.retrain.fit_watch import Verdict
from legoclf.retrain.head_training import final_evaluation, train_head, validation_logits
from legoclf.retrain.heads import Features, Head, accuracy_and_cross_entropy
from legoclf.retrain.held_out import cross_validated
from legoclf.retrain.networks.devices import Devices
from legoclf.retrain.report import Curve
from legoclf.retrain.sample_grid import sample_grids, write_grids
from legoclf.retrain.seen import Summaries
from legoclf.retrain.settings import Settings
from legoclf.retrain.whole_network import (
    refitted,
    scratch_contract,
    serves_better,
    train_whole,
    without_undecodable,
)
from legoclf.split import SPLITS, TRAIN, VALIDATION

LOGGER = logging.getLogger(__name__)

#: Gets the network, a Keras model or a feature vector, and the head where it stands apart.
NetworkCallback = Callable[[Any, Head | None], None]


@dataclass(frozen=True)
class Classifier:
    """A network and its head, trained, before they are calibrated and tested.

    rows: features of each image of the data set, float32 [views, D], the plain view first.
    features: the same by split. learnt: the network's own weights are of this run.
    samples: sheets of training images, PNG by file name.
    """

    dataset: DataSet
    vector: FeatureVector
    contract: InputContract
    rows: Sequence[np.ndarray]
    features: dict[str, Features]
    head: Head
    curves: list[Curve]
    verdict: Verdict | None
    learnt: bool
    cross_validation: list[Pooled] = field(default_factory=list)
    samples: Mapping[str, bytes] = field(default_factory=dict)


def extract_plain(
    dataset: DataSet, vector: FeatureVector, contract: InputContract, settings: Settings
) -> tuple[DataSet, list[np.ndarray]]:
    """Features of each image as it is, float32 [1, D]; see :func:`extract_features`."""
    plain = replace(settings, augmentation=Augmentation(), cross_validate=0, compare_heads=False)
    return extract_features(dataset, vector, contract, plain)


class Ways:
    """The ways to a classifier under the settings of a run.

    Args:
        cache_dir: where converted modules are kept.
        devices: what networks are trained on; None where none is.
        summaries: TensorBoard logs; None for none.
        graphs: a folder for the graphs of networks that are trained here.
        on_network: called when a head on frozen features is trained, and when a network is.
    """

    def __init__(
        self,
        settings: Settings,
        cache_dir: Path,
        devices: Devices | None,
        summaries: Summaries | None,
        graphs: Path,
        on_network: NetworkCallback | None,
    ) -> None:
        self.settings = settings
        self.cache_dir = cache_dir
        self.devices = devices
        self.summaries = summaries
        self.graphs = graphs
        self.on_network = on_network or (lambda network, head: None)

    def train(self, dataset: DataSet) -> Classifier:
        """A classifier by the way that the settings name."""
        if self.settings.network.from_scratch:
            return self._from_scratch(dataset)
        if self.settings.network.fine_tune:
            return self._fine_tuned(dataset)
        return self._on_frozen_features(dataset)

    def _on_frozen_features(self, dataset: DataSet) -> Classifier:
        """A head on the features of a network that stays as it is; where that learns next, its beginning."""
        settings, summaries, augmentation = self.settings, self.summaries, self.settings.augmentation
        goes_on = settings.network.fine_tune
        if goes_on:
            summaries, augmentation = None, settings.fine_tune_augmentation
        vector = load_feature_vector(
            settings.tfhub_module, input_size=settings.input_size, cache_dir=self.cache_dir
        )
        contract = unit_range_contract(vector.width, vector.height)._replace(geometry=settings.geometry)
        dataset, rows = extract_features(dataset, vector, contract, settings)
        _tell(settings, dataset)
        samples = self._sheets(dataset, contract, augmentation)
        features = _by_split(dataset, rows)
        pooled = [] if goes_on else cross_validated(settings, dataset, rows)
        head, seen = train_head(settings, vector, dataset, features, summaries)
        self.on_network(vector, head)
        verdict = seen.verdict() if settings.head == "sgd" else None
        return Classifier(
            dataset, vector, contract, rows, features, head, [seen.curve], verdict, False, pooled, samples
        )

    def _fine_tuned(self, dataset: DataSet) -> Classifier:
        """A head first, then all that is to learn; the head alone where validation is served no better."""
        devices = self._told_devices()
        before = self._on_frozen_features(dataset)
        if self.summaries is not None:
            self.summaries.add(final_evaluation(before.head, before.features))
        pooled = cross_validated_network(self.settings, before.dataset, before.contract, before.rows, devices)
        after = self._whole(before.dataset, before.contract, before.head, devices)
        curves = [*before.curves, *after.curves]
        if _is_better(after, before):
            return replace(after, curves=curves, cross_validation=pooled, samples=before.samples)
        LOGGER.warning("warning: fine-tuning serves the validation images no better: the head alone is kept")
        return replace(before, curves=curves, cross_validation=pooled)

    def _from_scratch(self, dataset: DataSet) -> Classifier:
        """A small network of random weights."""
        devices, settings = self._told_devices(), self.settings
        dataset = without_undecodable(dataset, settings.strict)
        _tell(settings, dataset)
        contract = scratch_contract(settings)
        samples = self._sheets(dataset, contract, settings.augmentation)
        pooled = cross_validated_network(settings, dataset, contract, None, devices)
        trained = self._whole(dataset, contract, None, devices)
        return replace(trained, cross_validation=pooled, samples=samples)

    def _whole(
        self, dataset: DataSet, contract: InputContract, head: Head | None, devices: Devices
    ) -> Classifier:
        """A network that learns as a whole, and what becomes of its features."""
        vector, head, seen, trained = train_whole(
            self.settings, dataset, contract, head, devices, self.summaries, self.graphs
        )
        self.on_network(trained.model, None)
        dataset, rows = extract_plain(dataset, vector, contract, self.settings)
        features = _by_split(dataset, rows)
        if self.settings.network.fine_tune and not head.how.get("interrupted"):
            head = refitted(self.settings, head, features[TRAIN], features[VALIDATION])
        return Classifier(
            dataset, vector, contract, rows, features, head, [seen.curve], seen.verdict(), learnt=True
        )

    def _told_devices(self) -> Devices:
        """What is trained on, having said so."""
        assert self.devices is not None
        LOGGER.info("%s", self.devices.line)
        return self.devices

    def _sheets(
        self, dataset: DataSet, contract: InputContract, augmentation: Augmentation
    ) -> dict[str, bytes]:
        """Sheets of training images, written before anything is trained on them."""
        sheets = sample_grids(dataset, contract, augmentation, self.settings.seed)
        folder = self.settings.outputs.summaries_dir
        if folder is not None and self.summaries is not None:
            try:
                written = write_grids(folder / "samples", sheets)
            except OSError as error:
                LOGGER.warning("warning: %s: %s", folder / "samples", error.strerror or error)
            else:
                LOGGER.info("training images to look at: %s", ", ".join(map(str, written)))
        return sheets


def _by_split(dataset: DataSet, rows: Sequence[np.ndarray]) -> dict[str, Features]:
    return {split: gather(dataset.images, rows, split) for split in SPLITS}


def _is_better(fine_tuned: Classifier, head_alone: Classifier) -> bool:
    """Whether validation images, if there are any, speak for the fine-tuned network."""
    labels = head_alone.features[VALIDATION].labels
    said, was = (validation_logits(each.head, each.features[VALIDATION]) for each in (fine_tuned, head_alone))
    if len(labels):
        _tell_validation("the fine-tuned network", said, labels)
        _tell_validation("the head alone", was, labels)
    return serves_better(said, was, labels)


def _tell_validation(what: str, logits: np.ndarray, labels: np.ndarray) -> None:
    accuracy, cross_entropy = accuracy_and_cross_entropy(logits, labels)
    LOGGER.info("%s: validation accuracy %.1f%%, cross entropy %.3f", what, 100 * accuracy, cross_entropy)


def _tell(settings: Settings, dataset: DataSet) -> None:
    """What the data set is, and what is odd about it."""
    uneven = imbalance(dataset, settings.balance)
    for line in (*dataset.warnings, *([uneven] if uneven else [])):
        LOGGER.warning("warning: %s", printable(line))
    for rejected in dataset.rejected:
        LOGGER.warning("skipped: %s: %s", printable(rejected.path), printable(rejected.reason))
    LOGGER.info("%s", dataset.summary())
