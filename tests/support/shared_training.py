"""A short training of a tiny network, as a process of its own: alone and on two devices, or as one of two.

Prints its curve and a sum over its final state as JSON; of the two trainings of one process a list of both.
"""

import json
import sys
from typing import Any

import numpy as np

from legoclf.convert.foreign_keras import import_keras
from legoclf.convert.frozen import import_tensorflow
from legoclf.retrain.networks.batches import Batch
from legoclf.retrain.networks.devices import choose_strategy
from legoclf.retrain.networks.loop import Group, Loop

IMAGES = 63
#: Shared by two as 4 and 3.
BATCH = 7


def main(alone_and_on_two_devices: bool) -> None:
    tf = import_tensorflow()
    if alone_and_on_two_devices:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    devices = choose_strategy()
    results: Any = _train(devices.strategy, devices.line, (devices.worker, devices.workers))
    if alone_and_on_two_devices:
        two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        results = [results, _train(two, "two devices", (0, 1))]
    sys.stdout.write(json.dumps(results))


def _train(strategy: Any, line: str, share: tuple[int, int]) -> dict[str, Any]:
    keras = import_keras()
    keras.utils.set_random_seed(1)
    with strategy.scope():
        image = keras.Input((8, 8, 3))
        seen = keras.layers.Conv2D(4, 3, activation="relu")(image)
        model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(seen)))
        groups = [
            Group(model.layers[1].trainable_variables, keras.optimizers.AdamW(0.01), 0.01),
            Group(model.layers[-1].trainable_variables, keras.optimizers.SGD(0.1, momentum=0.9), 0.1),
        ]
    loop = Loop(model, groups, average_decay=0.9, label_smoothing=0.1, strategy=strategy)
    assert loop.share == share
    curve = [loop.train(_batches(*share)) for _ in range(3)]
    loop.restore(loop.state())
    curve.append(loop.train(_batches(*share)))
    size = sum(float(np.abs(array).sum()) for array in loop.state())
    return {"line": line, "share": share, "curve": curve, "size": size}


def _batches(worker: int, workers: int) -> list[Batch]:
    """This machine's share of each batch of colours, some of which count more."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, IMAGES)
    colours = np.eye(3)[labels][:, None, None] * 0.5
    images = (random.random((IMAGES, 8, 8, 3)) * 0.5 + colours).astype(np.float32)
    weights = random.uniform(0.5, 1.5, IMAGES).astype(np.float32)
    whole = np.arange(IMAGES).reshape(-1, BATCH)
    return [
        Batch(images[own], labels[own], weights[own])
        for own in (np.array_split(row, workers)[worker] for row in whole)
    ]


if __name__ == "__main__":
    main("alone_and_on_two_devices" in sys.argv)
