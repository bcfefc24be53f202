"""The small networks of tutorials, as Keras models: a ConvNet of three blocks, and a CNN for 28x28 digits.

Both take float32 [N, H, W, 3], RGB in [0, 1], and give logits. The digits' one turns to grey within the
graph, so that all that is made of it takes RGB as everything else does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from legoclf.convert.foreign_keras import import_keras
from legoclf.errors import UsageError
from legoclf.retrain.augment import LUMA
from legoclf.retrain.heads import Head

#: Names of the layers that :func:`features_of` and :func:`head_of` look for.
FEATURES_LAYER = "features"
HEAD_LAYER = "head"

GREY_LAYER = "grey"


@dataclass(frozen=True)
class Architecture:
    """A small network: blocks of convolution, ReLU and max-pooling, a dense layer, dropout, the last layer.

    input_size: height and width in pixels, where no other is asked for. kernel: side of the convolutions.
    filters: of block n, from 0. units: of the dense layer.
    optimizer, batch_size, epochs: what it is trained with, where nothing else is asked for.
    """

    input_size: int
    grey: bool
    blocks: int
    kernel: int
    filters: Callable[[int], int]
    units: int
    dropout: float
    optimizer: str
    batch_size: int
    epochs: int


ARCHITECTURES = {
    "convnet": Architecture(
        input_size=150,
        grey=False,
        blocks=3,
        kernel=3,
        filters=lambda block: 32 * 2**block,
        units=128,
        dropout=0.4,
        optimizer="rmsprop",
        batch_size=32,
        epochs=30,
    ),
    "lenet": Architecture(
        input_size=28,
        grey=True,
        blocks=2,
        kernel=5,
        filters=lambda block: 24 + 12 * block,
        units=128,
        dropout=0.5,
        optimizer="adam",
        batch_size=128,
        epochs=20,
    ),
}


def architecture_of(name: str) -> Architecture:
    """The architecture of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"--architecture {name}: expected {' or '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build_network(
    name: str, classes: int, *, input_size: int | None = None, blocks: int | None = None, seed: int = 0
) -> Any:
    """A network with fresh weights: a Keras model to logits [N, classes].

    Two classes have one unit, z, as the tutorials' sigmoid has: its logits are [0, z], whose softmax is
    that sigmoid.

    Args:
        input_size: height and width in pixels.
        blocks: of convolution; each halves height and width.
        seed: of the weights and of dropout.

    Raises:
        UsageError: there is no such network, or the blocks do not fit the size.
    """
    architecture = architecture_of(name)
    size = input_size or architecture.input_size
    blocks = architecture.blocks if blocks is None else blocks
    _check_blocks(name, size, blocks)
    keras = import_keras()
    layers = keras.layers
    seeds = iter(np.random.SeedSequence(seed).generate_state(blocks + 3).tolist())

    def initial() -> Any:
        return keras.initializers.GlorotUniform(seed=next(seeds))

    image = x = keras.Input((size, size, 3), name="image")
    if architecture.grey:
        x = layers.Conv2D(1, 1, use_bias=False, trainable=False, name=GREY_LAYER)(x)
    for block in range(blocks):
        x = layers.Conv2D(
            architecture.filters(block),
            architecture.kernel,
            padding="same",
            activation="relu",
            kernel_initializer=initial(),
            name=f"conv_{block + 1}",
        )(x)
        x = layers.MaxPooling2D(name=f"pool_{block + 1}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(
        architecture.units, activation="relu", kernel_initializer=initial(), name=FEATURES_LAYER
    )(x)
    x = layers.Dropout(architecture.dropout, seed=next(seeds), name="dropout")(x)
    x = layers.Dense(1 if classes == 2 else classes, kernel_initializer=initial(), name=HEAD_LAYER)(x)
    if classes == 2:
        x = layers.Reshape((1, 1), name="unit")(x)
        x = layers.ZeroPadding1D((1, 0), name="zero_and_unit")(x)
        x = layers.Flatten(name="logits")(x)
    model = keras.Model(image, x, name=name)
    if architecture.grey:
        model.get_layer(GREY_LAYER).set_weights([LUMA.reshape(1, 1, 3, 1)])
    return model


def features_of(model: Any) -> Callable[[Any], Any]:
    """The network without its last layer: of images [N, H, W, 3] to [N, D], without dropout."""
    body = import_keras().Model(model.inputs[0], model.get_layer(FEATURES_LAYER).output)
    return lambda image: body(image, training=False)


def head_of(model: Any, how: dict[str, object]) -> Head:
    """The last layer as a softmax head; a single unit as that of two classes, the first always 0."""
    kernel, bias = (np.asarray(values) for values in model.get_layer(HEAD_LAYER).get_weights())
    if len(bias) == 1:
        kernel, bias = np.hstack([np.zeros_like(kernel), kernel]), np.append(np.zeros_like(bias), bias)
    return Head(kernel, bias, how)


def _check_blocks(name: str, size: int, blocks: int) -> None:
    most = size.bit_length() - 1
    if blocks < 1:
        raise UsageError(f"--blocks {blocks}: expected 1 or more")
    if blocks > most:
        raise UsageError(
            f"--blocks {blocks}: {name} halves its image with each, and {size}x{size} pixels allow {most}; "
            f"pass fewer, or --input_size {2**blocks} or more"
        )
