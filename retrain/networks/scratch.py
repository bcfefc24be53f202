"""Small networks trained from scratch."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from legoclf.convert.foreign_keras import import_keras
from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import UsageError, check_range
from legoclf.retrain.networks.batches import ImageBatches
from legoclf.retrain.networks.loop import Group, Loop
from legoclf.retrain.networks.shared import (
    NO_HOOKS,
    Hooks,
    TrainedNetwork,
    check_counts,
    sets_of,
    train_to_best,
)
from legoclf.retrain.networks.small import architecture_of, build_network, features_of

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
        check_counts(self, "batch_size", "epochs", "patience")


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


def train_network(
    architecture: str,
    train: ImageBatches,
    validation: ImageBatches,
    classes: int,
    settings: ScratchSettings,
    seed: int,
    strategy: Any = None,
    hooks: Hooks = NO_HOOKS,
) -> TrainedNetwork:
    """Train a small network from random weights; its size is that of the batches' contract.

    Args:
        train, validation: entered; the epoch with the best validation cross entropy is kept.
        strategy: a tf.distribute strategy; None for the default one.

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
    return train_to_best(
        loop,
        train,
        validation,
        epochs=settings.epochs,
        patience=settings.patience,
        how={"name": architecture, **asdict(settings)},
        features=features_of(model),
        hooks=hooks,
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


def _optimizer(settings: ScratchSettings) -> Any:
    optimizers = import_keras().optimizers
    rate = settings.learning_rate
    if settings.optimizer in _WITH_MOMENTUM:
        make = optimizers.SGD if settings.optimizer == "sgd" else optimizers.RMSprop
        return make(rate, momentum=settings.momentum)
    return (optimizers.Adam if settings.optimizer == "adam" else optimizers.AdamW)(rate)
