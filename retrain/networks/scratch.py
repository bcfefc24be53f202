"""Small networks trained from scratch."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from legoclf.convert.foreign_keras import import_keras
from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import UsageError, check_range
from legoclf.retrain.heads import Evaluation, Head
from legoclf.retrain.networks.batches import ImageBatches
from legoclf.retrain.networks.checkpoints import Checkpoints
from legoclf.retrain.networks.epochs import run_epochs
from legoclf.retrain.networks.loop import Group, Loop
from legoclf.retrain.networks.small import architecture_of, build_network, features_of, head_of

#: Learning rates, where none is asked for.
LEARNING_RATES = {"rmsprop": 1e-3, "adam": 1e-3, "adamw": 1e-3, "sgd": 1e-2}
OPTIMIZERS = tuple(LEARNING_RATES)

_WITH_MOMENTUM = ("rmsprop", "sgd")


@dataclass(frozen=True)
class ScratchSettings:
    """How a small network is trained; :func:`scratch_settings` has the defaults of each.

    blocks: of convolution; None for as many as the architecture has.
    optimizer: one of OPTIMIZERS. momentum: of rmsprop and sgd.
    batch_size: images in a step. epochs: at most.
    patience: epochs without a better validation cross entropy after which it stops.
    label_smoothing: share of each target that is spread over all classes.
    average_decay: of the moving average of the weights, a step; None for none.
    """

    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    momentum: float = 0.0
    patience: int = 5
    blocks: int | None = None
    label_smoothing: float = 0.0
    average_decay: float | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(f"--optimizer {self.optimizer}: expected {', '.join(OPTIMIZERS)}")
        if self.momentum and self.optimizer not in _WITH_MOMENTUM:
            raise UsageError(
                f"--momentum: {self.optimizer} has its own; {' and '.join(_WITH_MOMENTUM)} take one"
            )
        check_range("--momentum", self.momentum, 0.0, 0.9999)
        check_range("--learning_rate", self.learning_rate, 1e-12, 1e3)
        for name in ("batch_size", "epochs", "patience"):
            if getattr(self, name) < 1:
                flag = "train_batch_size" if name == "batch_size" else name
                raise UsageError(f"--{flag}: got {getattr(self, name)}, expected 1 or more")


def scratch_settings(architecture: str, **asked: Any) -> ScratchSettings:
    """The settings of an architecture, with those that were asked for; what is None was not.

    Raises:
        UsageError: a setting is out of its range, or there is no such architecture.
    """
    known = architecture_of(architecture)
    asked = {name: value for name, value in asked.items() if value is not None}
    optimizer = asked.get("optimizer", known.optimizer)
    base = ScratchSettings(
        optimizer=known.optimizer,
        learning_rate=LEARNING_RATES.get(optimizer, 1.0),
        batch_size=known.batch_size,
        epochs=known.epochs,
    )
    return replace(base, **asked)


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


def train_network(
    architecture: str,
    train: ImageBatches,
    validation: ImageBatches,
    classes: int,
    settings: ScratchSettings,
    seed: int,
    on_evaluation: Callable[[Evaluation], None] = lambda _: None,
    on_step: Callable[[int], None] | None = None,
    strategy: Any = None,
    checkpoints: Checkpoints | None = None,
    keep_on_interrupt: bool = False,
) -> TrainedNetwork:
    """Train a small network from random weights; its size is that of the batches' contract.

    Args:
        train, validation: entered; the epoch with the best validation cross entropy is kept.
        on_step: called after each step, with the number of steps so far.
        strategy: a tf.distribute strategy; None for the default one.
        checkpoints: made with :func:`facts_of`.
        keep_on_interrupt: as :func:`run_epochs` has it.

    Raises:
        UsageError: the network does not fit the images, or a checkpoint is of another training.
    """
    tf = import_tensorflow()
    strategy = strategy or tf.distribute.get_strategy()
    contract = train.contract
    if contract.height != contract.width:
        raise UsageError(
            f"--architecture {architecture}: takes squares, got {contract.height}x{contract.width}"
        )
    with strategy.scope():
        model = build_network(
            architecture, classes, input_size=contract.height, blocks=settings.blocks, seed=seed
        )
        group = Group(model.trainable_variables, _optimizer(settings), settings.learning_rate)
    loop = Loop(
        model,
        [group],
        label_smoothing=settings.label_smoothing,
        average_decay=settings.average_decay,
        strategy=strategy,
    )
    checkpoints = checkpoints or Checkpoints(None)
    course = run_epochs(
        loop,
        train,
        validation,
        settings.epochs,
        settings.patience,
        checkpoints,
        on_evaluation,
        on_step,
        keep_on_interrupt,
    )
    how: dict[str, object] = {"name": architecture, **asdict(settings), "best_epoch": course.best_epoch}
    if course.interrupted:
        how.update(interrupted=True, epochs_made=course.epoch)
    return TrainedNetwork(
        model, features_of(model), head_of(model, how), course.best_epoch, course.evaluations
    )


def facts_of(
    architecture: str, train: ImageBatches, validation: ImageBatches, settings: ScratchSettings, seed: int
) -> dict[str, object]:
    """What two runs must have in common for one to go on with a checkpoint of the other.

    Epochs and patience are not among it: a run may be resumed to last longer.
    """
    facts: dict[str, object] = {"architecture": architecture, "seed": seed, **asdict(settings)}
    del facts["epochs"], facts["patience"]
    facts.update(blocks=settings.blocks or architecture_of(architecture).blocks, **sets_of(train, validation))
    return facts


def sets_of(train: ImageBatches, validation: ImageBatches) -> dict[str, object]:
    """What a training takes of its images: part of the facts."""
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


def _optimizer(settings: ScratchSettings) -> Any:
    optimizers = import_keras().optimizers
    rate = settings.learning_rate
    if settings.optimizer in _WITH_MOMENTUM:
        make = optimizers.SGD if settings.optimizer == "sgd" else optimizers.RMSprop
        return make(rate, momentum=settings.momentum)
    return (optimizers.Adam if settings.optimizer == "adam" else optimizers.AdamW)(rate)
