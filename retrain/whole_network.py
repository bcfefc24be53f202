"""Networks whose own weights learn, as a run of `legoclf retrain` trains them.

What comes of it is what a head on frozen features is too: a feature vector, as two graphs, and a head. All
that follows (figures, calibration, export) is the same for both.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from legoclf.contract import InputContract, unit_range_contract
from legoclf.cores import available_cores
from legoclf.data.folder import DataSet, ImageItem, Rejected
from legoclf.errors import ImageError
from legoclf.image import read_image
from legoclf.progress import Progress
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.calibrate import fit_temperature
from legoclf.retrain.cross_validate import Pooled, Sample, features_of, partitions, where
from legoclf.retrain.feature_vector import EMBEDDED, FeatureVector
from legoclf.retrain.heads import Evaluation, EvaluationCallback, Features, Head, accuracy_and_cross_entropy
from legoclf.retrain.held_out import samples_of, trainer_of
from legoclf.retrain.networks import fine_tune, scratch
from legoclf.retrain.networks.batches import ImageBatches
from legoclf.retrain.networks.checkpoints import Checkpoints
from legoclf.retrain.networks.devices import Devices
from legoclf.retrain.networks.feature_graphs import feature_vector_of
from legoclf.retrain.networks.scratch import TrainedNetwork
from legoclf.retrain.networks.small import architecture_of
from legoclf.retrain.seen import Summaries
from legoclf.retrain.seen_training import SeenTraining, note_of
from legoclf.retrain.settings import Settings
from legoclf.split import TRAIN, VALIDATION

LOGGER = logging.getLogger(__name__)


def scratch_contract(settings: Settings) -> InputContract:
    """What a small network takes of an image: the size that was asked for, or its own."""
    size = settings.input_size or architecture_of(settings.network.architecture).input_size
    return unit_range_contract(size, size)._replace(geometry=settings.geometry)


def without_undecodable(dataset: DataSet, strict: bool) -> DataSet:
    """The data set without the images that do not decode, each of them read once.

    Raises:
        ImageError: one does not, and ``strict`` is on.
    """

    def trouble(item: ImageItem) -> Rejected | None:
        try:
            read_image(item.path)
        except ImageError as error:
            return Rejected(error.path, error.reason)
        return None

    rejected: list[Rejected] = []
    with (
        Progress("reading images", len(dataset.images)) as progress,
        ThreadPoolExecutor(available_cores()) as pool,
    ):
        for found in pool.map(trouble, dataset.images):
            progress.advance()
            if found is not None and strict:
                raise ImageError(found.path, f"{found.reason}; mend or remove it, or run without --strict")
            if found is not None:
                rejected.append(found)
    return dataset.without(rejected) if rejected else dataset


def train_whole(
    settings: Settings,
    dataset: DataSet,
    contract: InputContract,
    head: Head | None,
    devices: Devices,
    summaries: Summaries | None,
    directory: Path,
) -> tuple[FeatureVector, Head, SeenTraining, TrainedNetwork]:
    """Train the network that the settings name, and write its graphs.

    Args:
        head: on frozen features, which fine-tuning begins with.
        directory: where the graphs of its feature vector are written.
    """
    network = settings.network
    seen = SeenTraining(
        "the whole network" if network.fine_tune else network.architecture, "epoch", summaries
    )
    trained = _train(
        settings,
        contract,
        dataset.by_split(TRAIN),
        dataset.by_split(VALIDATION),
        len(dataset.labels),
        head,
        devices,
        seen.add,
        is_final=True,
    )
    LOGGER.info("the best of %d epochs is number %d", len(trained.evaluations), trained.epoch)
    name = f"{EMBEDDED}_fine_tuned" if network.fine_tune else network.architecture
    vector = feature_vector_of(
        trained.features,
        contract.height,
        contract.width,
        name=name,
        source="fine_tuned" if network.fine_tune else "scratch",
        directory=directory,
    )
    return vector, trained.head, seen, trained


def serves_better(one: np.ndarray, other: np.ndarray, labels: np.ndarray) -> bool:
    """Whether one classifier's held-out answers are better than the other's.

    By the cross entropy, each at the temperature that suits it: a few dozen validation images tell it much
    more closely than they tell an accuracy.

    Args:
        one, other: logits, float32 [N, C]. labels: int [N].
    """

    def cross_entropy(logits: np.ndarray) -> float:
        return accuracy_and_cross_entropy(logits / np.float32(fit_temperature(logits, labels)), labels)[1]

    return cross_entropy(one) < cross_entropy(other)


def refitted(settings: Settings, head: Head, train: Features, validation: Features) -> Head:
    """The head of a fine-tuned network, trained anew on the plain features of its images.

    While both learn, the head follows features that move, on a few hundred steps and distorted views; on
    features that hold still it is the head of every other run. On a third of 800 photos kept apart it named
    85.7 % right and not 81.1 %, where the head on frozen features named 83.2 %.

    Args:
        head: the one that was trained along with the network.
        train, validation: its features of each set.
    """
    anew = trainer_of(settings, settings.head, len(head.bias))(train, validation)
    how = {**head.how, "refitted_by": anew.how["name"], "l2": anew.how.get("l2")}
    return _with_validation_logits(replace(anew, how=how), validation)


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
    samples = samples_of(dataset, rows or [np.zeros((1, 1), np.float32)] * len(dataset.images))
    names = [settings.network.name, *([settings.head] if rows is not None else [])]
    right = {name: np.zeros(len(samples), bool) for name in names}
    for number, partition in enumerate(partitions(samples, folds), 1):
        LOGGER.info("cross-validating %s: fold %d of %d", names[0], number, folds)
        train, validation, test = (
            [dataset.images[index] for index in np.flatnonzero(mask)]
            for mask in (partition.train, partition.validation, partition.test)
        )
        labels = np.array([item.label_index for item in test], np.int64)
        frozen = None
        if rows is not None:
            frozen = _frozen(settings, samples, partition.train, partition.validation, len(dataset.labels))
            answers = frozen.logits(features_of(where(samples, partition.test), views=1).rows)
            right[settings.head][partition.test] = answers.argmax(axis=1) == labels
        trained = _train(
            settings, contract, train, validation, len(dataset.labels), frozen, devices, lambda _: None
        )
        learnt, held_out, tested = (
            _features(trained, items, contract) for items in (train, validation, test)
        )
        head = trained.head if frozen is None else refitted(settings, trained.head, learnt, held_out)
        said = head.logits(tested.rows)
        if frozen is not None and not _beats(head, frozen, held_out):
            said = answers
        right[names[0]][partition.test] = said.argmax(axis=1) == labels
    return [Pooled(name, right[name]) for name in names]


def _train(
    settings: Settings,
    contract: InputContract,
    train_items: Sequence[ImageItem],
    validation_items: Sequence[ImageItem],
    classes: int,
    head: Head | None,
    devices: Devices,
    on_evaluation: EvaluationCallback,
    is_final: bool = False,
) -> TrainedNetwork:
    """One training; with checkpoints, and kept at Ctrl-C, if it is the final one."""
    network = settings.network
    how: Any = network.of_fine_tuning() if network.fine_tune else network.of_scratch()
    augmentation = settings.fine_tune_augmentation if network.fine_tune else settings.augmentation
    note = ""
    with ExitStack() as stack:

        def batches(items: Sequence[ImageItem], distortions: Augmentation) -> ImageBatches:
            return stack.enter_context(
                ImageBatches(items, contract, distortions, how.batch_size, settings.seed, settings.balance)
            )

        train, validation = batches(train_items, augmentation), batches(validation_items, Augmentation())
        devices.check_batch_size(train.batch_size)
        what = "fine-tuning" if network.fine_tune else f"training {network.architecture}"
        progress = stack.enter_context(Progress(what, how.epochs * train.steps, "steps"))

        def on_epoch(evaluation: Evaluation) -> None:
            nonlocal note
            note = note_of(evaluation)
            on_evaluation(evaluation)
            if not progress.is_bar:
                _log(evaluation)

        arguments: dict[str, Any] = {
            "on_evaluation": on_epoch,
            "on_step": lambda _: progress.advance(note=note),
            "strategy": devices.strategy,
            "keep_on_interrupt": is_final,
        }
        if network.fine_tune:
            assert head is not None
            facts = fine_tune.facts_of(train, validation, how, settings.seed)
            arguments["checkpoints"] = _checkpoints(settings, facts) if is_final else None
            return fine_tune.fine_tune(train, validation, head, how, settings.seed, **arguments)
        facts = scratch.facts_of(network.architecture, train, validation, how, settings.seed)
        arguments["checkpoints"] = _checkpoints(settings, facts) if is_final else None
        return scratch.train_network(
            network.architecture, train, validation, classes, how, settings.seed, **arguments
        )


def _checkpoints(settings: Settings, facts: dict[str, object]) -> Checkpoints:
    network = settings.network
    return Checkpoints(network.checkpoint_dir, network.checkpoint_every, network.resume, facts)


def _frozen(
    settings: Settings, samples: Sequence[Sample], train: np.ndarray, validation: np.ndarray, classes: int
) -> Head:
    """The head on frozen features of one fold, with what it said of the validation images before."""
    held_out = features_of(where(samples, validation), views=1)
    head = trainer_of(settings, settings.head, classes)(
        features_of(where(samples, train), views=None), held_out
    )
    return _with_validation_logits(head, held_out)


def _with_validation_logits(head: Head, validation: Features) -> Head:
    """The head with what it said of validation images before it learnt from them, if it ever did."""
    if head.validation_logits is not None:
        return head
    return replace(head, validation_logits=head.logits(validation.rows))


def _beats(head: Head, other: Head, validation: Features) -> bool:
    """Whether validation images, if there are any, speak for the first of two heads."""
    if not len(validation):
        return True
    assert head.validation_logits is not None
    assert other.validation_logits is not None
    return serves_better(head.validation_logits, other.validation_logits, validation.labels)


def _features(trained: TrainedNetwork, items: Sequence[ImageItem], contract: InputContract) -> Features:
    """A network's features of images, as they are."""
    labels = np.array([item.label_index for item in items], np.int64)
    size = trained.head.weights.shape[0]
    with ImageBatches(items, contract, Augmentation(), 64, 0) as batches:
        rows = [np.asarray(trained.features(batch.images)) for batch in batches.plain()]
    return Features(np.concatenate(rows) if rows else np.zeros((0, size), np.float32), labels)


def _log(evaluation: Evaluation) -> None:
    text = f"Epoch {evaluation.step}: {note_of(evaluation)}"
    if evaluation.validation_accuracy is not None:
        text += (
            f"; validation loss {evaluation.validation_cross_entropy:.3f}, "
            f"accuracy {evaluation.validation_accuracy:.1%}"
        )
    LOGGER.info("%s", text)
