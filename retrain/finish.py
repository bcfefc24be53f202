"""What follows a training, whichever way it went: calibration, figures, the unknown, advice, logs."""

import logging
from pathlib import Path

import numpy as np

from legoclf.bundle import FROZEN_GRAPH, Bundle
from legoclf.convert.frozen import read_frozen
from legoclf.data.dataset import DataSet
from legoclf.errors import LegoclfError
from legoclf.retrain.advice import Facts, advice, require_accuracy
from legoclf.retrain.classifier import Classifier, extract_plain
from legoclf.retrain.evaluate import Report, evaluate
from legoclf.retrain.head_training import validation_logits
from legoclf.retrain.heads import BalancedSampler, Features, Head, accuracy_and_cross_entropy
from legoclf.retrain.held_out import calibrate_head, calibrate_network, samples_of
from legoclf.retrain.novelty import MeasuredNovelty, fit_novelty, measure_novelty
from legoclf.retrain.result import Result
from legoclf.retrain.sample_grid import TITLES
from legoclf.retrain.seen import write_results
from legoclf.retrain.settings import Settings
from legoclf.retrain.unknown_classes import Unknowns
from legoclf.split import TEST, TRAIN, VALIDATION

LOGGER = logging.getLogger(__name__)


def finish(settings: Settings, classifier: Classifier, unknowns: Unknowns) -> Result:
    """Calibrate a classifier, test it, and say what to try next.

    Raises:
        LegoclfError: its test accuracy is below what the settings ask for.
    """
    dataset, features, head = classifier.dataset, classifier.features, classifier.head
    if classifier.learnt:
        head, calibration = calibrate_network(settings, head, features)
    else:
        head, calibration = calibrate_head(settings, dataset, classifier.rows, head, features)
    validation = _validate(head, features[VALIDATION], dataset)
    test = _test(settings, head, features[TEST], dataset)
    require_accuracy(test, settings.assert_accuracy_at_least)
    return Result(
        dataset=dataset,
        vector=classifier.vector,
        contract=classifier.contract,
        head=head,
        validation=validation,
        test=test,
        cross_validation=classifier.cross_validation,
        calibration=calibration,
        curves=classifier.curves,
        advice=_advice(settings, classifier, head, test),
        samples={TITLES[name]: sheet for name, sheet in classifier.samples.items()},
        novelty=_novelty(settings, classifier, head, unknowns),
    )


def write_logs(settings: Settings, classifier: Classifier, bundle: Bundle, test: Report | None) -> None:
    """What TensorBoard shows of the result: pictures, the graph, the test set's features.

    Raises:
        LegoclfError: the folder that was asked for cannot be written; at its default place that is a warning.
    """
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
    paths = [item.relative for item in dataset.by_split(VALIDATION)]
    return evaluate(validation_logits(head, features), features.labels, paths, dataset.labels)


def _test(settings: Settings, head: Head, features: Features, dataset: DataSet) -> Report | None:
    paths = [item.relative for item in dataset.by_split(TEST)]
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


def _novelty(
    settings: Settings, classifier: Classifier, head: Head, unknowns: Unknowns
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
        _, rows = extract_plain(unknowns.as_data_set(), classifier.vector, classifier.contract, settings)
        strange = np.concatenate([row[:1] for row in rows])
    return measure_novelty(fitted, head, features[TEST].rows, strange, unknowns.labels)


def _advice(settings: Settings, classifier: Classifier, head: Head, test: Report | None) -> str:
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
