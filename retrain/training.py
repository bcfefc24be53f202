"""One run of `legoclf retrain`: data set, features, head, figures, bundle."""

import itertools
import logging
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from legoclf.bundle import Bundle
from legoclf.contract import InputContract, unit_range_contract
from legoclf.convert.frozen import check_final_tensor_name
from legoclf.data.folder import DataSet, ImageItem, Rejected, scan_folder
from legoclf.errors import LegoclfError, printable
from legoclf.image import read_image
from legoclf.preprocess import REVISION, fastest_fit, preprocess
from legoclf.progress import Progress
from legoclf.retrain.advice import require_accuracy
from legoclf.retrain.calibrate import Calibration
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.engines import measure_drift, open_engine
from legoclf.retrain.evaluate import Report, evaluate
from legoclf.retrain.export import check_bundle_place, export, write_intermediate
from legoclf.retrain.extract import Extractor, Request
from legoclf.retrain.feature_cache import FeatureCache
from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector
from legoclf.retrain.heads import (
    BalancedSampler,
    Evaluation,
    EvaluationCallback,
    Features,
    Head,
    accuracy_and_cross_entropy,
    train_sgd,
)
from legoclf.retrain.held_out import calibrate_head, cross_validated
from legoclf.retrain.lbfgs import train_lbfgs
from legoclf.retrain.outputs import usable_outputs
from legoclf.retrain.report import Curve
from legoclf.retrain.settings import Settings
from legoclf.retrain.summaries import Summaries
from legoclf.split import SPLITS, TRAIN

LOGGER = logging.getLogger(__name__)

#: What the learning curve of each head shows, and the unit of its steps.
_CURVES = {
    "lbfgs": ("head by L-BFGS, its L2 made weaker in turn", "iteration"),
    "sgd": ("head by SGD", "step"),
}

#: Images on which the drift of a lower precision is measured: a second's work.
DRIFT_IMAGES = 16


@dataclass(frozen=True)
class Trained:
    """What a run ends with.

    report: None if the data set left no test image. cross_validation: empty unless it was asked for.
    calibration: None if it was not asked for, or had no image to go by.
    """

    bundle: Bundle
    dataset: DataSet
    head: Head
    report: Report | None
    cross_validation: list[Pooled]
    calibration: Calibration | None = None


def retrain(settings: Settings, cache_dir: Path) -> Trained:
    """Train a head and write its bundle.

    Args:
        cache_dir: where converted modules are kept.

    Raises:
        LegoclfError: the data set, the module or an output cannot be used; nothing is written then.
    """
    check_bundle_place(settings.bundle, settings.image_dir)
    check_final_tensor_name(settings.final_tensor_name)
    settings = replace(settings, outputs=usable_outputs(settings.outputs))
    dataset = scan_folder(
        settings.image_dir,
        labels="lowercase" if settings.lowercase_labels else "as-written",
        split_hash=settings.split_hash,
        testing_percentage=settings.testing_percentage,
        validation_percentage=settings.validation_percentage,
        strict=settings.strict,
    )
    vector = load_feature_vector(settings.tfhub_module, input_size=settings.input_size, cache_dir=cache_dir)
    contract = unit_range_contract(vector.width, vector.height)._replace(geometry=settings.geometry)
    dataset, rows = extract_features(dataset, vector, contract, settings)
    features = {split: gather(dataset.images, rows, split) for split in SPLITS}
    for line in dataset.warnings:
        LOGGER.warning("warning: %s", printable(line))
    for rejected in dataset.rejected:
        LOGGER.warning("skipped: %s: %s", printable(rejected.path), printable(rejected.reason))
    LOGGER.info("%s", dataset.summary())
    pooled = cross_validated(settings, dataset, rows)
    curve = Curve(*_CURVES[settings.head], [])
    head = train_head(settings, vector, dataset, features, curve.points.append)
    head, calibration = calibrate_head(settings, dataset, rows, head, features)
    validation = _validate(head, features["validation"], dataset)
    test = _test(settings, head, features["test"], dataset)
    require_accuracy(test, settings.assert_accuracy_at_least)
    bundle = export(settings, dataset, vector, contract, head, validation, test, pooled, calibration, [curve])
    return Trained(bundle, dataset, head, test, pooled, calibration)


def extract_features(
    dataset: DataSet, vector: FeatureVector, contract: InputContract, settings: Settings
) -> tuple[DataSet, list[np.ndarray]]:
    """Features of each image, float32 [views, D]; images that do not decode leave the data set.

    While images are extracted, their features are on disk and their keys alone in memory.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings.extractor, vector, settings.extractor_precision))
        made_with = {
            "module": vector.identity,
            "contract": contract.to_json(),
            "preprocessing": f"revision {REVISION}, {fastest_fit().__name__}",
            "engine": engine.description,
        }
        cache = stack.enter_context(
            FeatureCache(settings.bottleneck_dir, made_with, vector.feature_size, settings.bottleneck_bytes)
        )
        # In cross-validation every image is a training image of some fold.
        every = settings.cross_validate > 0
        requests = (
            Request(item.path, settings.views if every or item.split == TRAIN else 1)
            for item in dataset.images
        )
        keys, rejected = _extract(
            Extractor(engine, contract, cache, settings.augmentation, settings.seed),
            requests,
            len(dataset.images),
            settings,
        )
        if rejected:
            dataset = dataset.without(rejected)
        if settings.extractor_precision != "fp32":
            few = dataset.images[:: max(1, len(dataset.images) // DRIFT_IMAGES)][:DRIFT_IMAGES]
            tensors = [preprocess(read_image(item.path), contract, fastest_fit()) for item in few]
            LOGGER.info("%s", measure_drift(engine, vector, tensors).as_text())
        rows = cache.rows([key for views in keys for key in views])
    ends = np.cumsum([len(views) for views in keys])
    return dataset, np.split(rows, ends[:-1])


def _extract(
    extractor: Extractor, requests: Iterable[Request], total: int, settings: Settings
) -> tuple[list[list[bytes]], list[Rejected]]:
    """Keys of the views of each image that could be used, and the others with their reasons."""
    keys: list[list[bytes]] = []
    rejected: list[Rejected] = []
    try:
        with Progress("extracting features", total) as progress:
            for result in extractor.extract(requests):
                progress.advance()
                if result.error is None:
                    keys.append(result.keys)
                elif settings.strict:
                    raise LegoclfError(f"{result.error}; mend or remove it, or run without --strict")
                else:
                    rejected.append(Rejected(result.error.path, result.error.reason))
    except KeyboardInterrupt:
        LOGGER.warning(
            "interrupted: the features of %d of %d images are kept in %s",
            len(keys),
            total,
            settings.bottleneck_dir,
        )
        raise
    return keys, rejected


def gather(images: Sequence[ImageItem], rows: Sequence[np.ndarray], split: str) -> Features:
    """The features of one split: all views of training images, the plain one of others.

    Args:
        rows: of each image, float32 [views, D], the plain view first.
    """
    views = None if split == TRAIN else 1
    chosen = [(item, row[:views]) for item, row in zip(images, rows, strict=True) if item.split == split]
    if not chosen:
        return Features(np.zeros((0, rows[0].shape[1]), np.float32), np.zeros(0, np.int64))
    labels = [item.label_index for item, row in chosen for _ in row]
    return Features(np.concatenate([row for _, row in chosen]), np.array(labels, np.int64))


def train_head(
    settings: Settings,
    vector: FeatureVector,
    dataset: DataSet,
    features: dict[str, Features],
    on_point: EvaluationCallback,
) -> Head:
    """Train the head that the settings name, with its logs and intermediate graphs.

    Args:
        on_point: gets the points of the learning curve.
    """
    classes = len(dataset.labels)
    with ExitStack() as stack:
        summaries = None
        if settings.outputs.summaries_dir is not None:
            summaries = stack.enter_context(Summaries(settings.outputs.summaries_dir))

        note = ""
        sgd = settings.head == "sgd"
        total, unit = (settings.sgd.how_many_training_steps, "steps") if sgd else (None, "iterations")
        progress = stack.enter_context(Progress("training the head", total, unit))

        def on_evaluation(evaluation: Evaluation) -> None:
            nonlocal note
            on_point(evaluation)
            note = _note(evaluation.train_cross_entropy, evaluation.train_accuracy)
            if not progress.is_bar:
                _log(evaluation, len(features["validation"]), settings.sgd.validation_batch_size)
            if summaries is not None:
                summaries.add(evaluation)

        def on_step(step: int, head: Head) -> None:
            progress.advance(note=note)
            frequency = settings.outputs.intermediate_store_frequency
            if frequency and step and step % frequency == 0:
                write_intermediate(settings, vector, head, step)

        iterations = itertools.count(1)

        def on_iteration(loss: float, accuracy: float) -> None:
            on_point(Evaluation(next(iterations), accuracy, loss, None, None))
            progress.advance(note=_note(loss, accuracy))

        train, validation = features["train"], features["validation"]
        if sgd:
            return train_sgd(
                train, validation, classes, settings.sgd, settings.seed, on_evaluation, on_step, True
            )
        head = train_lbfgs(train, validation, classes, on_iteration, keep_on_interrupt=True)
        if summaries is not None:
            summaries.add(_final_evaluation(head, features))
        return head


def _note(cross_entropy: float, accuracy: float) -> str:
    return f"loss {cross_entropy:.3f}, accuracy {accuracy:.1%}"


def _final_evaluation(head: Head, features: dict[str, Features]) -> Evaluation:
    train, validation = features["train"], features["validation"]
    held_out: tuple[float, float] | tuple[None, None] = (None, None)
    if len(validation):
        held_out = accuracy_and_cross_entropy(_validation_logits(head, validation), validation.labels)
    return Evaluation(0, *accuracy_and_cross_entropy(head.logits(train.rows), train.labels), *held_out)


def _validation_logits(head: Head, validation: Features) -> np.ndarray:
    """What the head said of the validation images while it had not learnt from them, float32 [N, C]."""
    return head.logits(validation.rows) if head.validation_logits is None else head.validation_logits


def _log(evaluation: Evaluation, validation_images: int, batch_size: int) -> None:
    """The lines of retrain.py that scripts look for."""
    step = evaluation.step
    LOGGER.info("Step %d: Train accuracy = %.1f%%", step, 100 * evaluation.train_accuracy)
    LOGGER.info("Step %d: Cross entropy = %f", step, evaluation.train_cross_entropy)
    if evaluation.validation_accuracy is not None:
        LOGGER.info(
            "Step %d: Validation accuracy = %.1f%% (N=%d)",
            step,
            100 * evaluation.validation_accuracy,
            validation_images if batch_size < 0 else batch_size,
        )


def _validate(head: Head, features: Features, dataset: DataSet) -> Report | None:
    paths = [item.relative for item in dataset.by_split("validation")]
    return evaluate(_validation_logits(head, features), features.labels, paths, dataset.labels)


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
