"""Keras as its tutorials use it: files through tf.data, augmentation layers, a frozen network, Dense, fit.

https://keras.io/guides/transfer_learning and https://www.tensorflow.org/tutorials/images/transfer_learning;
as there, every epoch passes every image through the network anew.
"""

import os
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np

from legoclf.benchmarks.extraction import DISTORTIONS
from legoclf.benchmarks.peers_task import Contender, Samples, Task, check_tensorflow_decodes, pooled
from legoclf.convert.foreign_keras import import_keras
from legoclf.convert.frozen import FEATURES_NAME, INPUT_NAME, import_tensorflow, read_frozen
from legoclf.data.folder import ImageItem
from legoclf.retrain import feature_vector
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.split import TEST, TRAIN

PASSES = "Keras fit"

#: Keras' own default.
BATCH_SIZE = 32

_WARM_UP_STEPS = 2


class KerasFit(Contender):
    """`model.fit` on the training images with all four distortions.

    Args:
        epochs: that a head is given.
        seconds: after which a turn ends with its batch; where all epochs take less, a turn is its share.
        rounds: turns that will be taken.

    Attributes:
        reached: epochs trained so far; no whole number where the time was up.
    """

    def __init__(self, task: Task, epochs: int, seconds: float, rounds: int) -> None:
        check_tensorflow_decodes(task)
        self._task = task
        self._epochs = epochs
        keras = import_keras()
        keras.utils.set_random_seed(0)
        vector = task.vector
        network, layers = load_network(vector), keras.layers
        image = keras.Input((vector.height, vector.width, 3))
        answer = layers.Dense(task.classes, activation="softmax")(network(image))
        self._model = keras.Model(image, answer)
        self._model.compile("adam", "sparse_categorical_crossentropy")
        self._train = _pipeline(task.items(TRAIN), vector, _augmentation(vector))
        self._seen = 0
        self._steps, self._seconds = _WARM_UP_STEPS, float("inf")
        self.turn()
        self._steps = ceil(epochs * len(task.items(TRAIN)) / (BATCH_SIZE * rounds))
        self._seconds = seconds

    @property
    def reached(self) -> float:
        """Passes so far over the training images."""
        return self._seen / len(self._task.items(TRAIN))

    def turn(self) -> Samples:
        """See :class:`Contender`."""
        steps = 0
        start = time.perf_counter()

        def after_batch(batch: int, logs: object) -> None:
            nonlocal steps
            steps = batch + 1
            self._model.stop_training = time.perf_counter() - start >= self._seconds

        clock = import_keras().callbacks.LambdaCallback(on_train_batch_end=after_batch)
        self._model.fit(self._train, steps_per_epoch=self._steps, shuffle=False, callbacks=[clock], verbose=0)
        self._seen += steps * BATCH_SIZE
        return {PASSES: ("1/s", steps * BATCH_SIZE / (time.perf_counter() - start))}

    def answers(self) -> Pooled:
        """See :class:`Contender`: of the epochs that were reached."""
        items = self._task.items(TEST)
        scores = self._model.predict(_pipeline(items, self._task.vector, None), verbose=0)
        self.note = (
            f"Keras {import_keras().__version__} fit: Adam, batches of {BATCH_SIZE}; "
            f"{self.reached:.1f} of {self._epochs} epochs trained when it was tested; "
            "RandomBrightness adds where retrain.py multiplies"
        )
        # An accuracy that the clock has cut short is no accuracy of Keras: the name tells.
        name = "Keras fit" if self.reached >= self._epochs else "Keras fit, epochs unfinished"
        return pooled(name, scores, np.array([item.label_index for item in items]))


def load_network(vector: FeatureVector) -> Callable[[Any], Any]:
    """The frozen network: float32 [N, H, W, 3] in [0, 1] to [N, D].

    The embedded one as Keras Applications has it, with the weights that legoclf ships; another from its
    frozen graph.
    """
    keras = import_keras()
    if vector.source == "embedded":
        network = keras.applications.MobileNetV2(
            weights=str(feature_vector.EMBEDDED_WEIGHTS),
            include_top=False,
            pooling="avg",
            input_shape=(vector.height, vector.width, 3),
        )
        network.trainable = False
        return lambda image: network(image * 2 - 1, training=False)
    tf = import_tensorflow()
    graph_def = read_frozen(vector.frozen_path)
    function = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
    pruned = function.prune(f"{INPUT_NAME}:0", f"{FEATURES_NAME}:0")
    size = vector.feature_size
    layer: Callable[[Any], Any] = keras.layers.Lambda(
        lambda image: tf.ensure_shape(pruned(image), [None, size]), output_shape=(size,)
    )
    return layer


def _augmentation(vector: FeatureVector) -> Any:
    """The four distortions as Keras layers, on images float32 in [0, 1] that were enlarged for the crop."""
    layers = import_keras().layers
    zoom = 1 / (1 + DISTORTIONS.random_scale / 100) - 1
    brightness = DISTORTIONS.random_brightness / 100
    return import_keras().Sequential(
        [
            layers.RandomZoom((zoom, 0.0)),
            layers.RandomCrop(vector.height, vector.width),
            layers.RandomFlip("horizontal"),
            layers.RandomBrightness(brightness, value_range=(0.0, 1.0)),
        ]
    )


def _pipeline(items: Sequence[ImageItem], vector: FeatureVector, augmentation: Any | None) -> Any:
    """Batches of images float32 [N, H, W, 3] and labels; shuffled and endless where distorted."""
    tf = import_tensorflow()
    share = 1.0 if augmentation is None else 1 + DISTORTIONS.random_crop / 100
    size = int(vector.height * share), int(vector.width * share)

    def read(path: Any, label: Any) -> tuple[Any, Any]:
        pixels = tf.io.decode_image(tf.io.read_file(path), 3, expand_animations=False)
        pixels.set_shape([None, None, 3])
        return tf.image.resize(pixels, size) / 255.0, label

    paths = [os.fsencode(item.path) for item in items]
    data = tf.data.Dataset.from_tensor_slices((paths, [item.label_index for item in items]))
    if augmentation is not None:
        data = data.shuffle(len(items)).repeat()
    data = data.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_SIZE)
    if augmentation is not None:
        data = data.map(
            lambda images, labels: (augmentation(images, training=True), labels),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    return data.prefetch(tf.data.AUTOTUNE)
