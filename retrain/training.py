"""One run of `legoclf retrain`: data set, features, head, figures, bundle."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from legoclf.bundle import FROZEN_GRAPH, Bundle
from legoclf.contract import InputContract, unit_range_contract
from legoclf.convert.frozen import check_final_tensor_name, read_frozen
from legoclf.data.folder import DataSet, scan_folder
from legoclf.errors import LegoclfError, printable
from legoclf.retrain.advice import Facts, advice, require_accuracy
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.balance import imbalance
from legoclf.retrain.calibrate import Calibration
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.evaluate import Report, evaluate
from legoclf.retrain.export import check_bundle_place, export
from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector
from legoclf.retrain.features import extract_features, gather
from legoclf.retrain.fit_watch import Verdict
from legoclf.retrain.head_training import final_evaluation, train_head, validation_logits
from legoclf.retrain.heads import BalancedSampler, Features, Head, accuracy_and_cross_entropy
from legoclf.retrain.held_out import calibrate_head, calibrate_network, cross_validated, samples_of
from legoclf.retrain.networks.devices import Devices, choose_strategy
from legoclf.retrain.novelty import MeasuredNovelty, fit_novelty, measure_novelty
from legoclf.retrain.outputs import usable_outputs
from legoclf.retrain.report import Curve
from legoclf.retrain.sample_grid import TITLES, sample_grids, write_grids
from legoclf.retrain.seen import MachineSampler, Summaries, write_results
from legoclf.retrain.settings import Settings
from legoclf.retrain.unknown_classes import Unknowns, set_apart
from legoclf.retrain.whole_network import (
    cross_validated_network,
    refitted,
    scratch_contract,
    serves_better,
    train_whole,
    without_undecodable,
)
from legoclf.split import SPLITS, TEST, TRAIN, VALIDATION

LOGGER = logging.getLogger(__name__)

#: Gets the network, a Keras model or a feature vector, and the head where it stands apart.
NetworkCallback = Callable[[Any, Head | None], None]


@dataclass(frozen=True)
class Trained:
    """What a run ends with.

    report: None if the data set left no test image. cross_validation: empty unless it was asked for.
    calibration: None if it was not asked for, or had no image to go by. advice: what to try next.
    novelty: None if it was not wanted.
    """

    bundle: Bundle
    dataset: DataSet
    head: Head
    report: Report | None
    cross_validation: list[Pooled]
    calibration: Calibration | None = None
    advice: str = ""
    novelty: MeasuredNovelty | None = None


@dataclass(frozen=True)
class _Classifier:
    """A network and its head, trained, before they are tested.

    rows: features of each image of the data set, float32 [views, D], the plain view first.
    learnt: the network's own weights are of this run. samples: sheets of training images, PNG by file name.
    """

    dataset: DataSet
    vector: FeatureVector
    contract: InputContract
    rows: Sequence[np.ndarray]
    head: Head
    pooled: list[Pooled] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    verdict: Verdict | None = None
    learnt: bool = False
    samples: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def features(self) -> dict[str, Features]:
        """Those of each split."""
        return {split: gather(self.dataset.images, self.rows, split) for split in SPLITS}


def retrain(settings: Settings, cache_dir: Path, on_network: NetworkCallback | None = None) -> Trained | None:
    """Train a classifier and write its bundle.

    Args:
        cache_dir: where converted modules are kept.
        on_network: called when a head on frozen features is trained, and when a network is.

    Returns:
        None on a machine of several that train together which is not the one that writes.

    Raises:
        LegoclfError: the data set, the module or an output cannot be used; nothing is written then.
    """
    check_bundle_place(settings.bundle, settings.image_dir)
    check_final_tensor_name(settings.final_tensor_name)
    settings = replace(settings, outputs=usable_outputs(settings.outputs))
    devices = choose_strategy(settings.network.device) if settings.network.learns else None
    dataset = scan_folder(
        settings.image_dir,
        labels="lowercase" if settings.lowercase_labels else "as-written",
        split_hash=settings.split_hash,
        testing_percentage=settings.testing_percentage,
        validation_percentage=settings.validation_percentage,
        strict=settings.strict,
    )
    dataset, unknowns = set_apart(dataset, settings.unknown_classes)
    with ExitStack() as stack:
        summaries = None
        if settings.outputs.summaries_dir is not None and (devices is None or devices.is_chief):
            summaries = stack.enter_context(Summaries(settings.outputs.summaries_dir))
            stack.enter_context(MachineSampler(settings.outputs.summaries_dir))
        graphs = Path(stack.enter_context(TemporaryDirectory(prefix="legoclf-network-")))
        run = _Run(settings, cache_dir, devices, summaries, graphs, on_network)
        if settings.network.from_scratch:
            classifier = run.from_scratch(dataset)
        elif settings.network.fine_tune:
            classifier = run.fine_tuned(dataset)
        else:
            classifier = run.on_frozen_features(dataset)
        if devices is not None and not devices.is_chief:
            LOGGER.info("machine %d of %d is done; the first one writes", devices.worker + 1, devices.workers)
            return None
        return _finish(settings, classifier, unknowns)


class _Run:
    """The ways from a data set to a classifier.

    Args:
        graphs: a folder for the graphs of networks that are trained here.
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

    def on_frozen_features(self, dataset: DataSet) -> _Classifier:
        """A head on the features of a network that stays as it is."""
        settings = self.settings
        frozen, features = self._frozen(dataset)
        pooled = [] if settings.network.fine_tune else cross_validated(settings, frozen.dataset, frozen.rows)
        head, seen = train_head(
            settings,
            frozen.vector,
            frozen.dataset,
            features,
            None if settings.network.fine_tune else self.summaries,
        )
        self.on_network(frozen.vector, head)
        verdict = seen.verdict() if settings.head == "sgd" else None
        return replace(frozen, head=head, pooled=pooled, curves=[seen.curve], verdict=verdict)

    def fine_tuned(self, dataset: DataSet) -> _Classifier:
        """A head first, then all that is to learn; the head alone where validation is served no better."""
        assert self.devices is not None
        settings = self.settings
        LOGGER.info("%s", self.devices.line)
        before = self.on_frozen_features(dataset)
        features = before.features
        if self.summaries is not None:
            self.summaries.add(final_evaluation(before.head, features))
        pooled = cross_validated_network(settings, before.dataset, before.contract, before.rows, self.devices)
        after = self._whole(before.dataset, before.contract, before.head)
        after = replace(after, pooled=pooled, curves=[*before.curves, *after.curves], samples=before.samples)
        if _is_better(after, before):
            return after
        LOGGER.warning("warning: fine-tuning serves the validation images no better: the head alone is kept")
        return replace(before, pooled=pooled, curves=after.curves)

    def from_scratch(self, dataset: DataSet) -> _Classifier:
        """A small network of random weights."""
        assert self.devices is not None
        settings = self.settings
        LOGGER.info("%s", self.devices.line)
        dataset = without_undecodable(dataset, settings.strict)
        _tell(settings, dataset)
        contract = scratch_contract(settings)
        samples = self._sheets(dataset, contract, settings.augmentation)
        pooled = cross_validated_network(settings, dataset, contract, None, self.devices)
        return replace(self._whole(dataset, contract, None), pooled=pooled, samples=samples)

    def _frozen(self, dataset: DataSet) -> tuple[_Classifier, dict[str, Features]]:
        settings = self.settings
        vector = load_feature_vector(
            settings.tfhub_module, input_size=settings.input_size, cache_dir=self.cache_dir
        )
        contract = unit_range_contract(vector.width, vector.height)._replace(geometry=settings.geometry)
        dataset, rows = extract_features(dataset, vector, contract, settings)
        _tell(settings, dataset)
        fine_tunes = settings.network.fine_tune
        augmentation = settings.fine_tune_augmentation if fine_tunes else settings.augmentation
        samples = self._sheets(dataset, contract, augmentation)
        classifier = _Classifier(dataset, vector, contract, rows, Head(rows[0], rows[0], {}), samples=samples)
        return classifier, classifier.features

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

    def _whole(self, dataset: DataSet, contract: InputContract, head: Head | None) -> _Classifier:
        assert self.devices is not None
        vector, head, seen, trained = train_whole(
            self.settings, dataset, contract, head, self.devices, self.summaries, self.graphs
        )
        self.on_network(trained.model, None)
        dataset, rows = extract_features(dataset, vector, contract, _plain_views(self.settings))
        if self.settings.network.fine_tune and not head.how.get("interrupted"):
            learnt, held_out = (gather(dataset.images, rows, split) for split in (TRAIN, VALIDATION))
            head = refitted(self.settings, head, learnt, held_out)
        return _Classifier(
            dataset, vector, contract, rows, head, [], [seen.curve], seen.verdict(), learnt=True
        )


def _is_better(fine_tuned: _Classifier, head_alone: _Classifier) -> bool:
    """Whether validation images, if there are any, speak for the fine-tuned network."""
    labels = head_alone.features["validation"].labels
    if not len(labels):
        return True
    said, was = (
        validation_logits(each.head, each.features["validation"]) for each in (fine_tuned, head_alone)
    )
    for what, logits in (("the fine-tuned network", said), ("the head alone", was)):
        accuracy, cross_entropy = accuracy_and_cross_entropy(logits, labels)
        LOGGER.info("%s: validation accuracy %.1f%%, cross entropy %.3f", what, 100 * accuracy, cross_entropy)
    return serves_better(said, was, labels)


def _plain_views(settings: Settings) -> Settings:
    """Those under which each image is extracted once, as it is."""
    return replace(settings, augmentation=Augmentation(), cross_validate=0, compare_heads=False)


def _tell(settings: Settings, dataset: DataSet) -> None:
    """What the data set is, and what is odd about it."""
    uneven = imbalance(dataset, settings.balance)
    for line in (*dataset.warnings, *([uneven] if uneven else [])):
        LOGGER.warning("warning: %s", printable(line))
    for rejected in dataset.rejected:
        LOGGER.warning("skipped: %s: %s", printable(rejected.path), printable(rejected.reason))
    LOGGER.info("%s", dataset.summary())


def _finish(settings: Settings, classifier: _Classifier, unknowns: Unknowns) -> Trained:
    """Calibrate, test, and write the bundle."""
    dataset, features, head = classifier.dataset, classifier.features, classifier.head
    if classifier.learnt:
        head, calibration = calibrate_network(settings, head, features)
    else:
        head, calibration = calibrate_head(settings, dataset, classifier.rows, head, features)
    validation = _validate(head, features["validation"], dataset)
    test = _test(settings, head, features["test"], dataset)
    require_accuracy(test, settings.assert_accuracy_at_least)
    novelty = _novelty(settings, classifier, head, unknowns)
    line = _advice(settings, classifier, head, test)
    bundle = export(
        settings,
        dataset,
        classifier.vector,
        classifier.contract,
        head,
        validation,
        test,
        classifier.pooled,
        calibration,
        classifier.curves,
        [line],
        {TITLES[name]: sheet for name, sheet in classifier.samples.items()},
        novelty,
    )
    _write_logs(settings, classifier, bundle, test)
    return Trained(bundle, dataset, head, test, classifier.pooled, calibration, line, novelty)


def _novelty(
    settings: Settings, classifier: _Classifier, head: Head, unknowns: Unknowns
) -> MeasuredNovelty | None:
    """What tells the unknown, and how well; None if it is not wanted, or an interrupt hurries."""
    if not settings.false_reject_rate or head.how.get("interrupted"):
        return None
    dataset, features = classifier.dataset, classifier.features
    learnt = [
        sample
        for sample, item in zip(samples_of(dataset, classifier.rows), dataset.images, strict=True)
        if item.split == TRAIN or (item.split == VALIDATION and not classifier.learnt)
    ]
    fitted = fit_novelty(
        learnt,
        features[VALIDATION],
        head,
        len(dataset.labels),
        settings.false_reject_rate,
        learnt=classifier.learnt,
    )
    strange = None
    if unknowns.images:
        _, rows = extract_features(
            unknowns.as_data_set(), classifier.vector, classifier.contract, _plain_views(settings)
        )
        strange = np.concatenate([row[:1] for row in rows])
    return measure_novelty(fitted, head, features[TEST].rows, strange, unknowns.labels)


def _advice(settings: Settings, classifier: _Classifier, head: Head, test: Report | None) -> str:
    train = classifier.features[TRAIN]
    fine_tuned = classifier.learnt and settings.network.fine_tune
    facts = Facts(
        fine_tuned=classifier.learnt,
        can_fine_tune=classifier.vector.source == "embedded",
        augmented=settings.augmentation.active or fine_tuned,
        keeps_best=settings.head != "sgd" or classifier.learnt,
        cross_validated=settings.cross_validate > 0,
        train_accuracy=accuracy_and_cross_entropy(head.logits(train.rows), train.labels)[0],
    )
    return advice(test, classifier.dataset, facts, classifier.verdict)


def _write_logs(settings: Settings, classifier: _Classifier, bundle: Bundle, test: Report | None) -> None:
    """What TensorBoard shows of the result: pictures, the graph, the test set's features."""
    folder = settings.outputs.summaries_dir
    if folder is None:
        return
    images = classifier.dataset.images
    plain = {item.relative: rows[0] for item, rows in zip(images, classifier.rows, strict=True)}
    rows = None if test is None else np.stack([plain[path] for path in test.paths])
    graph = read_frozen(Path(bundle.path) / FROZEN_GRAPH)
    try:
        write_results(folder, graph, test, rows, {item.relative: item.path for item in images})
    except LegoclfError as error:
        if "summaries_dir" not in settings.outputs.optional:
            raise
        LOGGER.warning("warning: %s", error)


def _validate(head: Head, features: Features, dataset: DataSet) -> Report | None:
    paths = [item.relative for item in dataset.by_split("validation")]
    return evaluate(validation_logits(head, features), features.labels, paths, dataset.labels)


def _test(settings: Settings, head: Head, features: Features, dataset: DataSet) -> Report | None:
    paths = [item.relative for item in dataset.by_split("test")]
    chosen = np.arange(len(features))
    if settings.test_batch_size > 0 and len(features):
        random = np.random.default_rng([settings.seed, 2])
        chosen = BalancedSampler(features.labels).sample(random, settings.test_batch_size)
    return evaluate(
        head.logits(features.rows[chosen]),
        features.labels[chosen],
        [paths[index] for index in chosen],
        dataset.labels,
    )
