"""The yardstick: what TF-Hub's retrain.py does at each step when a distortion is on.

A class-balanced batch is drawn; each image is read, decoded, distorted afresh and passed through the frozen
graph in TensorFlow, and one step of gradient descent follows. retrain.py ran two session calls an image,
one to distort it and one for its features; the kinder reading here runs the features of a batch at once.
Nothing is slowed down: graphs and sessions stand before the clock starts, with TensorFlow's own threads.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from legoclf.convert.frozen import FEATURES_NAME, INPUT_NAME, import_tensorflow, read_frozen
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import BalancedSampler, SgdSettings


@dataclass(frozen=True)
class Reading:
    """How fast one reading of retrain.py was: ``passes`` images in ``seconds``."""

    name: str
    passes: int
    seconds: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.passes / self.seconds

    def extrapolated_seconds(self, passes: int) -> float:
        """What so many passes would take at this rate."""
        return passes / self.rate


class Yardstick:
    """retrain.py's training with distortions, on images of a split; a context manager.

    Args:
        vector: whose frozen graph is run.
        augmentation: the distortions.
        paths: of the training images.
        labels: their classes, int.
        settings: batch size and learning rate.
    """

    def __init__(
        self,
        vector: FeatureVector,
        augmentation: Augmentation,
        paths: Sequence[str],
        labels: Sequence[int],
        settings: SgdSettings,
        seed: int = 0,
    ) -> None:
        tf = import_tensorflow()
        self.paths = paths
        self.labels = np.asarray(labels)
        self.settings = settings
        self._random = np.random.default_rng(seed)
        self._draw = BalancedSampler(self.labels)
        self._is_warm = False
        with tf.Graph().as_default() as graph:
            tf.compat.v1.set_random_seed(seed)
            tf.graph_util.import_graph_def(read_frozen(vector.frozen_path), name="")
            data = tf.compat.v1.placeholder(tf.string, [])
            distorted = _distort(tf, data, augmentation, vector.height, vector.width)
            features, truth, step = _head(
                tf, vector.feature_size, int(self.labels.max()) + 1, settings.learning_rate
            )
            start = tf.compat.v1.global_variables_initializer()
        self._session = tf.compat.v1.Session(graph=graph)
        self._session.run(start)
        self._distorted = self._session.make_callable(distorted, [data])
        self._features = self._session.make_callable(f"{FEATURES_NAME}:0", [f"{INPUT_NAME}:0"])
        self._step = self._session.make_callable(step, [features, truth])

    def __enter__(self) -> "Yardstick":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._session.close()

    def distorted(self, path: str) -> np.ndarray:
        """One image, read, decoded and distorted afresh: float32 [1, H, W, 3]."""
        tensor: np.ndarray = self._distorted(Path(path).read_bytes())
        return tensor

    def features(self, tensors: np.ndarray) -> np.ndarray:
        """float32 [N, D] of float32 [N, H, W, 3]."""
        rows: np.ndarray = self._features(tensors)
        return rows

    def _warm_up(self) -> None:
        """Once through the network alone and in a batch; later readings go on from there."""
        if not self._is_warm:
            image = self.distorted(self.paths[0])
            self.features(image)
            self.features(np.concatenate([image] * self.settings.train_batch_size))
        self._is_warm = True

    def one_by_one(self, seconds: float) -> Reading:
        """As retrain.py did it: every image through the graph alone; stops at the time, within a step too."""
        self._warm_up()
        passes, start = 0, time.perf_counter()
        while True:
            rows = []
            chosen = self._draw.sample(self._random, self.settings.train_batch_size)
            for index in chosen:
                rows.append(self.features(self.distorted(self.paths[index]))[0])
                passes += 1
                if (elapsed := time.perf_counter() - start) >= seconds:
                    return Reading("one by one", passes, elapsed)
            self._step(np.stack(rows), self.labels[chosen])

    def batched(self, seconds: float) -> Reading:
        """The kinder reading: the images of a step through the graph at once; whole steps."""
        size = self.settings.train_batch_size
        self._warm_up()
        passes, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            chosen = self._draw.sample(self._random, size)
            rows = self.features(np.concatenate([self.distorted(self.paths[index]) for index in chosen]))
            self._step(rows, self.labels[chosen])
            passes += size
        return Reading("in batches", passes, elapsed)


def _distort(tf: Any, data: Any, augmentation: Augmentation, height: int, width: int) -> Any:
    """retrain.py's distortions of an encoded image: float32 [1, height, width, 3], not clipped."""
    pixels = tf.io.decode_image(data, 3, expand_animations=False)
    pixels.set_shape([None, None, 3])
    image = tf.image.convert_image_dtype(pixels, tf.float32)[None]
    scale = (1 + augmentation.random_crop / 100) * tf.random.uniform(
        [], 1.0, 1.0 + augmentation.random_scale / 100
    )
    size = tf.cast(tf.stack([height * scale, width * scale]), tf.int32)
    enlarged = tf.compat.v1.image.resize_bilinear(image, size, half_pixel_centers=True)[0]
    cropped = tf.image.random_crop(enlarged, [height, width, 3])
    if augmentation.flip_left_right:
        cropped = tf.image.random_flip_left_right(cropped)
    share = augmentation.random_brightness / 100
    return (cropped * tf.random.uniform([], 1.0 - share, 1.0 + share))[None]


def _head(tf: Any, feature_size: int, classes: int, learning_rate: float) -> tuple[Any, Any, Any]:
    """Placeholders of features [N, D] and labels [N], and the training step."""
    v1 = tf.compat.v1
    features = v1.placeholder(tf.float32, [None, feature_size])
    truth = v1.placeholder(tf.int64, [None])
    weights = v1.get_variable(
        "weights", [feature_size, classes], initializer=v1.truncated_normal_initializer(stddev=0.001)
    )
    bias = v1.get_variable("bias", [classes], initializer=v1.zeros_initializer())
    loss = v1.losses.sparse_softmax_cross_entropy(truth, features @ weights + bias)
    return features, truth, v1.train.GradientDescentOptimizer(learning_rate).minimize(loss)
