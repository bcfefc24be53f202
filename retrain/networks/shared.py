"""What the trainings of networks share, whichever network learns: how one is watched, and how it ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from legoclf.errors import UsageError
from legoclf.retrain.heads import Evaluation, EvaluationCallback, Head
from legoclf.retrain.networks.batches import ImageBatches
from legoclf.retrain.networks.checkpoints import Checkpoints
from legoclf.retrain.networks.epochs import run_epochs
from legoclf.retrain.networks.loop import Loop
from legoclf.retrain.networks.small import head_of


@dataclass(frozen=True)
class TrainedNetwork:
    """What training ends with: the network, with the weights of its best epoch.

    model: Keras, of float32 images [N, H, W, 3], RGB in [0, 1], to logits [N, C].
    features: of the same images to [N, D], without dropout. epoch: the best, from 1.
    evaluations: one an epoch, those of before a resumption among them.
    """

    model: Any
    features: Callable[[Any], Any]
    head: Head
    epoch: int
    evaluations: list[Evaluation]


@dataclass(frozen=True)
class Hooks:
    """What happens beside a training.

    on_evaluation: called after each epoch. on_step: called after each step, with the number of steps so far.
    checkpoints: made with the ``facts_of`` of the network; None for none.
    keep_on_interrupt: as :func:`run_epochs` has it.
    """

    on_evaluation: EvaluationCallback = lambda _: None
    on_step: Callable[[int], None] | None = None
    checkpoints: Checkpoints | None = None
    keep_on_interrupt: bool = False


NO_HOOKS = Hooks()


def train_to_best(
    loop: Loop,
    train: ImageBatches,
    validation: ImageBatches,
    *,
    epochs: int,
    patience: int,
    how: Mapping[str, object],
    features: Callable[[Any], Any],
    hooks: Hooks,
) -> TrainedNetwork:
    """Run the epochs of a loop, and hand the network over with the weights of its best one.

    Args:
        train, validation: entered.
        epochs, patience: as :func:`run_epochs` has them.
        how: what is recorded with the head, beside the best epoch and an interruption.
        features: of the loop's network, as :class:`TrainedNetwork` has them.
    """
    course = run_epochs(
        loop,
        train,
        validation,
        epochs,
        patience,
        hooks.checkpoints or Checkpoints(None),
        hooks.on_evaluation,
        hooks.on_step,
        hooks.keep_on_interrupt,
    )
    recorded = {**how, "best_epoch": course.best_epoch}
    if course.interrupted:
        recorded.update(interrupted=True, epochs_made=course.epoch)
    head = head_of(loop.model, recorded)
    return TrainedNetwork(loop.model, features, head, course.best_epoch, course.evaluations)


def check_counts(settings: object, *names: str) -> None:
    """Refuse settings of a network that count something and are below 1.

    Raises:
        UsageError: one is; the message names its flag.
    """
    for name in names:
        count = getattr(settings, name)
        if count < 1:
            flag = "train_batch_size" if name == "batch_size" else name
            raise UsageError(f"--{flag}: got {count}, expected 1 or more")


def sets_of(train: ImageBatches, validation: ImageBatches) -> dict[str, object]:
    """What a training takes of its images: part of the facts that a checkpoint must share with it."""
    return {
        "input_size": train.contract.height,
        "batch_size": train.batch_size,
        "balance": train.balance,
        "augmentation": train.augmentation.describe(),
        "training_images": _digest(train),
        "validation_images": _digest(validation),
    }


def _digest(batches: ImageBatches) -> str:
    """How many images, and a short hash of their names and classes."""
    names = "\0".join(f"{item.relative}\0{item.label_index}" for item in batches.items)
    return f"{len(batches)} ({sha256(names.encode()).hexdigest()[:12]})"
