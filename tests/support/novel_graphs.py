"""Classifiers of a small network with the output ``novelty``, of either kind, and what it must be."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import tf_modules

from legoclf.bundle import FROZEN_GRAPH, GOLDEN_FILE, ONNX_MODEL, SAVED_MODEL, Bundle
from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.convert import frozen, onnx_graph
from legoclf.convert.fp16 import to_fp16
from legoclf.convert.golden import golden_images, write_golden
from legoclf.convert.novelty import Novelty
from legoclf.convert.saved_model import write_saved_model
from legoclf.novelty import NoveltyRule
from legoclf.session import OnnxRuntimeSession

KINDS = ("distance", "energy")

SIZE, FEATURES = 32, 6

HEAD = tf_modules.head(FEATURES)

#: [N, 32, 32, 3], as TensorFlow takes them: noise over colours.
IMAGES = (
    np.random.default_rng(1).random((6, 1, 1, 3), np.float32)
    + np.random.default_rng(2).random((6, SIZE, SIZE, 3), np.float32)
) / 2

#: [N, 3, 32, 32], as ONNX graphs take them.
TENSORS = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))


def distance(features: int = FEATURES, residual_scale: float = 1.0) -> Novelty:
    """Five prototypes in four dimensions of the features, in which the images lie about their own mean."""
    rng = np.random.default_rng(3)
    projection, prototypes = rng.normal(0, 1, (features, 4)), rng.normal(0, 1, (5, 4))
    basis = np.linalg.qr(rng.normal(0, 1, (features, 2)))[0]
    centre = np.zeros(features)
    if features == FEATURES:
        centre = features_of_images().mean(axis=0)
        projection /= ((features_of_images() - centre) @ projection).std()
    return Novelty("distance", centre, projection, prototypes, basis, residual_scale)


def of_kind(kind: str) -> Novelty:
    return distance() if kind == "distance" else Novelty("energy")


def network(image: Any) -> Any:
    """Convolution, depthwise and 1x1 convolution, ReLU6 between: 32x32 pixels to 6 features."""
    tf = frozen.import_tensorflow()
    random = np.random.default_rng(7)
    kernels = [
        random.normal(0, 0.5, (3, 3, 3, 8)),
        random.uniform(0, 0.2, (3, 3, 8, 1)),
        random.normal(0, 0.5, (1, 1, 8, FEATURES)),
    ]
    first, depthwise, last = (tf.constant(kernel, tf.float32) for kernel in kernels)
    x = tf.nn.relu6(tf.nn.conv2d(image, first, 4, "SAME"))
    x = tf.nn.relu6(tf.nn.depthwise_conv2d(x, depthwise, [1, 1, 1, 1], "SAME"))
    return tf.reduce_mean(tf.nn.conv2d(x, last, 1, "SAME"), [1, 2])


@functools.cache
def features_of_images() -> np.ndarray:
    """[N, 6], by TensorFlow."""
    result: np.ndarray = network(frozen.import_tensorflow().constant(IMAGES)).numpy()
    return result


@functools.cache
def _features() -> bytes:
    return frozen.serialize(frozen.freeze(network, SIZE, SIZE))


@functools.cache
def _onnx_features() -> bytes:
    return onnx_graph.serialize(onnx_graph.feature_graph_to_onnx(features()))


def features() -> Any:
    """The frozen graph from images to features."""
    frozen.import_tensorflow()
    from tensorflow.core.framework.graph_pb2 import GraphDef

    return GraphDef.FromString(_features())


def onnx_features() -> Any:
    """The same as an ONNX model."""
    import onnx

    return onnx.load_from_string(_onnx_features())


def classifier(novelty: Novelty | None) -> Any:
    """The ONNX classifier."""
    return onnx_graph.attach_onnx_head(onnx_features(), *HEAD, {"labels": "[]"}, novelty)


def expected(novelty: Novelty) -> np.ndarray:
    """By NumPy, from the features that TensorFlow gives of IMAGES."""
    found = features_of_images()
    return novelty.of(found, found @ HEAD[0] + HEAD[1])


def write_bundle(path: Path, novelty: Novelty, threshold: float) -> Bundle:
    """Frozen graph, SavedModel, model.onnx, model.fp16.onnx and golden.npz, five labels and a rule."""
    contract = unit_range_contract(SIZE, SIZE)
    graph = frozen.attach_head(features(), *HEAD, novelty=novelty)
    model = classifier(novelty)
    with BundleWriter(str(path)) as writer:
        Path(writer.file(FROZEN_GRAPH)).write_bytes(frozen.serialize(graph))
        write_saved_model(graph, Path(writer.file(SAVED_MODEL)))
        Path(writer.file(ONNX_MODEL)).write_bytes(onnx_graph.serialize(model))
        Path(writer.file("model.fp16.onnx")).write_bytes(onnx_graph.serialize(to_fp16(model)))
        shown = golden_images(list((IMAGES * 255).astype(np.uint8)), contract)
        with OnnxRuntimeSession(writer.file(ONNX_MODEL), threads=1) as session:
            write_golden(Path(writer.file(GOLDEN_FILE)), shown, contract, session)
        rule = NoveltyRule(novelty.kind, threshold, 0.05)
        return writer.finish(list("abcde"), contract, {}, {}, rule)
