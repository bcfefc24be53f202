"""Training the head on frozen features, with all that is seen of it on the way."""

import logging
from dataclasses import replace

import numpy as np

from legoclf.data.folder import DataSet
from legoclf.progress import Progress
from legoclf.retrain.export import write_intermediate
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import Evaluation, Features, Head, accuracy_and_cross_entropy, train_sgd
from legoclf.retrain.lbfgs import train_lbfgs
from legoclf.retrain.seen import Summaries
from legoclf.retrain.seen_training import SeenTraining, note_of
from legoclf.retrain.settings import Settings

LOGGER = logging.getLogger(__name__)


def train_head(
    settings: Settings,
    vector: FeatureVector,
    dataset: DataSet,
    features: dict[str, Features],
    summaries: Summaries | None,
) -> tuple[Head, SeenTraining]:
    """Train the head that the settings name, with its logs and intermediate graphs; and what was seen."""
    train, validation = features["train"], features["validation"]
    classes = len(dataset.labels)
    if settings.head == "sgd":
        return _train_sgd(settings, vector, train, validation, classes, summaries)
    # Its evaluations come in turn for several strengths of L2, and none of them is a step of one training.
    seen = SeenTraining("head by L-BFGS, its L2 made weaker in turn", "iteration")
    points = seen.curve.points
    with Progress("training the head", None, "iterations") as progress:

        def on_iteration(loss: float, accuracy: float) -> None:
            evaluation = Evaluation(len(points) + 1, accuracy, loss, None, None)
            seen.add(evaluation)
            progress.advance(note=note_of(evaluation))

        def on_validation(accuracy: float, loss: float) -> None:
            # A strength that ends where it began has no iteration, and says what the last one has said.
            if points and points[-1].validation_accuracy is None:
                points[-1] = replace(points[-1], validation_accuracy=accuracy, validation_cross_entropy=loss)
                if summaries is not None:
                    summaries.add(points[-1])

        head = train_lbfgs(
            train,
            validation,
            classes,
            on_iteration,
            keep_on_interrupt=True,
            balance=settings.balance,
            on_validation=on_validation,
        )
    chosen = ", chosen on validation" if len(validation) else ""
    LOGGER.info("head: lbfgs, L2 %g%s", head.how["l2"], chosen)
    if summaries is not None:
        summaries.add(replace(final_evaluation(head, features), step=len(points)))
    return head, seen


def _train_sgd(
    settings: Settings,
    vector: FeatureVector,
    train: Features,
    validation: Features,
    classes: int,
    summaries: Summaries | None,
) -> tuple[Head, SeenTraining]:
    seen = SeenTraining("head by SGD", "step", summaries)
    frequency = settings.outputs.intermediate_store_frequency
    note = ""
    with Progress("training the head", settings.sgd.how_many_training_steps, "steps") as progress:

        def on_evaluation(evaluation: Evaluation) -> None:
            nonlocal note
            seen.add(evaluation)
            note = note_of(evaluation)
            if not progress.is_bar:
                _log(evaluation, len(validation), settings.sgd.validation_batch_size)

        def on_step(step: int, head: Head) -> None:
            progress.advance(note=note)
            if frequency and step and step % frequency == 0:
                write_intermediate(settings, vector, head, step)

        head = train_sgd(
            train,
            validation,
            classes,
            settings.sgd,
            settings.seed,
            on_evaluation,
            on_step,
            keep_on_interrupt=True,
            balance=settings.balance,
        )
    return head, seen


def final_evaluation(head: Head, features: dict[str, Features]) -> Evaluation:
    """What a head that is done says of training and validation images, as step 0."""
    train, validation = features["train"], features["validation"]
    held_out: tuple[float, float] | tuple[None, None] = (None, None)
    if len(validation):
        held_out = accuracy_and_cross_entropy(validation_logits(head, validation), validation.labels)
    return Evaluation(0, *accuracy_and_cross_entropy(head.logits(train.rows), train.labels), *held_out)


def validation_logits(head: Head, validation: Features) -> np.ndarray:
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
