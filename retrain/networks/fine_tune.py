"""Fine-tuning: the pretrained network, or the last of its blocks, learns along with the head.

Batch-norm decides whether it works. Layers that learn use the statistics of their batch, as in training from
scratch, and their moving averages follow within tens of steps; Keras' momentum of 0.999 would need thousands,
and a few hundred photos give a few hundred. Layers that stay as they are keep ImageNet's statistics.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from legoclf.convert.foreign_keras import import_keras
from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import check_range
from legoclf.retrain.feature_vector import embedded_network
from legoclf.retrain.heads import Head
from legoclf.retrain.networks.batches import ImageBatches
from legoclf.retrain.networks.loop import Group, Loop, warm_up_and_cosine
from legoclf.retrain.networks.shared import (
    NO_HOOKS,
    Hooks,
    TrainedNetwork,
    check_counts,
    sets_of,
    train_to_best,
)
from legoclf.retrain.networks.small import HEAD_LAYER

#: Inverted residual blocks of MobileNetV2.
BLOCKS = 17

#: Of batch-norm's moving averages, in layers that learn.
BATCH_NORM_MOMENTUM = 0.9

#: Parts that learn at a rate of their own: of the blocks, in thirds, and the head.
_PARTS = 3


@dataclass(frozen=True)
class FineTuneSettings:
    """How a pretrained network is fine-tuned.

    blocks: how many learn, from the last; all of them, and the stem, from BLOCKS on.
    learning_rate: the largest, of the head and the last third of the blocks.
    depth_decay: what the rate of the next third towards the image is multiplied by.
    warm_up_epochs: while the rate rises; it falls as a cosine from there to the last epoch.
    batch_size, epochs, patience, label_smoothing, average_decay: as in ScratchSettings.
    """

    blocks: int = BLOCKS
    learning_rate: float = 1.5e-4
    batch_size: int = 16
    epochs: int = 10
    patience: int = 5
    depth_decay: float = 1.0
    warm_up_epochs: int = 1
    label_smoothing: float = 0.05
    average_decay: float | None = 0.95

    def __post_init__(self) -> None:
        check_range("--learning_rate", self.learning_rate, 1e-12, 1e3)
        check_counts(self, "blocks", "batch_size", "epochs", "patience")


def fine_tune(
    train: ImageBatches,
    validation: ImageBatches,
    head: Head,
    settings: FineTuneSettings,
    seed: int,
    strategy: Any = None,
    hooks: Hooks = NO_HOOKS,
) -> TrainedNetwork:
    """Train the embedded network and its head on; the head was trained on its frozen features.

    Args:
        train, validation: entered; the epoch with the best validation cross entropy is kept.
        head: where the last layer begins.
        strategy: a tf.distribute strategy; None for the default one.

    Raises:
        UsageError: a checkpoint is of another training.
    """
    tf = import_tensorflow()
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        model, backbone = _network(train.contract.height, head, seed)
        groups = _groups(model, backbone, settings)
    steps = train.steps
    loop = Loop(
        model,
        groups,
        schedule=warm_up_and_cosine(settings.warm_up_epochs * steps, settings.epochs * steps),
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
        how={"name": "fine_tune", **asdict(settings)},
        features=lambda image: backbone(image * 2 - 1, training=False),
        hooks=hooks,
    )


def facts_of(
    train: ImageBatches, validation: ImageBatches, settings: FineTuneSettings, seed: int
) -> dict[str, object]:
    """What two runs must have in common for one to go on with a checkpoint of the other.

    Epochs are among it: the learning rate falls to 0 over all of them.
    """
    facts: dict[str, object] = {"architecture": "mobilenet_v2", "seed": seed, **asdict(settings)}
    del facts["patience"]
    return {**facts, **sets_of(train, validation)}


def _network(size: int, head: Head, seed: int) -> tuple[Any, Any]:
    """The classifier, RGB in [0, 1] to logits, and the pretrained network within it, RGB in [-1, 1]."""
    keras = import_keras()
    layers = keras.layers
    backbone = embedded_network(size)
    image = keras.Input((size, size, 3), name="image")
    features = backbone(layers.Rescaling(2.0, offset=-1.0, name="to_minus_one")(image))
    dropped = layers.Dropout(0.2, seed=seed, name="dropout")(features)
    dense = layers.Dense(len(head.bias), name=HEAD_LAYER)
    model = keras.Model(image, dense(dropped), name=backbone.name)
    dense.set_weights([head.weights, head.bias])
    return model, backbone


def _groups(model: Any, backbone: Any, settings: FineTuneSettings) -> Sequence[Group]:
    """Weights that learn, from the image on: the head's group is the last."""
    optimizers = import_keras().optimizers
    first = BLOCKS - settings.blocks
    parts: list[list[Any]] = [[] for _ in range(_PARTS)]
    batch_norms = import_keras().layers.BatchNormalization
    for layer in backbone.layers:
        block = _block_of(layer.name)
        layer.trainable = block >= first or first <= 0
        if isinstance(layer, batch_norms):
            layer.momentum = BATCH_NORM_MOMENTUM
        parts[max(0, block) * _PARTS // (BLOCKS + 1)] += layer.trainable_variables
    parts[-1] += model.get_layer(HEAD_LAYER).trainable_variables
    rates = [settings.learning_rate * settings.depth_decay ** (_PARTS - 1 - part) for part in range(_PARTS)]
    return [
        Group(weights, optimizers.Adam(rate), rate)
        for weights, rate in zip(parts, rates, strict=True)
        if weights
    ]


def _block_of(layer: str) -> int:
    """The block of a layer of Keras' MobileNetV2, by its name: -1 for the stem, BLOCKS for what follows."""
    if layer.startswith("expanded_conv"):
        return 0
    if layer.startswith("block_"):
        return int(layer.split("_")[1])
    return -1 if layer.startswith(("Conv1", "bn_Conv1", "input")) else BLOCKS
