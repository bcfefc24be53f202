"""A whole bundle that is made in a second: three classes by a network of three convolutions, 32x32 pixels."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tf_modules
from PIL import Image
from shared_folder import held, shared_folder

from legoclf.bundle import FROZEN_GRAPH, GOLDEN_FILE, ONNX_MODEL, SAVED_MODEL, Bundle
from legoclf.bundle_update import add_files
from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.convert import frozen, onnx_graph
from legoclf.convert.fp16 import to_fp16
from legoclf.convert.golden import golden_images, write_golden
from legoclf.convert.saved_model import write_saved_model
from legoclf.session import OnnxRuntimeSession

SIZE = 32
LABELS = ["blue", "green", "red"]
COLOURS = {"blue": (30, 60, 200), "green": (20, 160, 60), "red": (190, 30, 30)}
CONTRACT = unit_range_contract(SIZE, SIZE)
SPLIT = {"split_hash": "relative", "testing_percentage": 30, "validation_percentage": 10}


def paint(folder: Path, images: int = 10) -> Path:
    """Class folders with noisy images of one colour each."""
    random = np.random.default_rng(5)
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for index in range(images):
            levels = np.array(colour) * random.uniform(0.5, 1.2) + random.normal(0, 20, (40, 48, 3))
            Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(folder / label / f"{index}.png")
    return folder


def _network(image: Any) -> Any:
    """Convolution, depthwise and 1x1 convolution, ReLU6 between: 32x32 pixels to 6 features, none tiny."""
    tf = frozen.import_tensorflow()
    random = np.random.default_rng(7)
    kernels = [
        random.normal(0, 0.5, (3, 3, 3, 8)),
        random.uniform(0, 0.2, (3, 3, 8, 1)),
        random.normal(0, 0.5, (1, 1, 8, 6)),
    ]
    first, depthwise, last = (tf.constant(kernel, tf.float32) for kernel in kernels)
    x = tf.nn.relu6(tf.nn.conv2d(image, first, 4, "SAME"))
    x = tf.nn.relu6(tf.nn.depthwise_conv2d(x, depthwise, [1, 1, 1, 1], "SAME"))
    return tf.reduce_mean(tf.nn.conv2d(x, last, 1, "SAME"), [1, 2])


@functools.cache
def _feature_graphs() -> tuple[bytes, bytes]:
    """The network as a GraphDef and as an ONNX model, before their head."""
    graph = frozen.freeze(_network, CONTRACT.height, CONTRACT.width)
    return frozen.serialize(graph), onnx_graph.serialize(onnx_graph.feature_graph_to_onnx(graph))


@functools.cache
def _head() -> tuple[np.ndarray, np.ndarray]:
    """A head that tells the three colours apart: the nearest of their features."""
    levels = np.array([COLOURS[label] for label in LABELS], np.float32) / 255
    flat = np.broadcast_to(levels[:, None, None, :], (3, CONTRACT.height, CONTRACT.width, 3))
    centres = tf_modules.run_onnx(_feature_graphs()[1], np.ascontiguousarray(flat), "features")
    # Logits some 10 apart: sure, and far from where float32 or a softmax end.
    scale = 10 / np.square(centres - centres.mean(axis=0)).sum(axis=1).mean()
    return (scale * centres.T).astype(np.float32), (-0.5 * scale * np.square(centres).sum(axis=1)).astype(
        np.float32
    )


def write_bundle(path: Path) -> Bundle:
    """Frozen graph, SavedModel, model.onnx, model.fp16.onnx and golden.npz of one network."""
    folder = shared_folder("small_bundle")
    with held(folder):
        if not (folder / "small.bundle").is_dir():
            _write_bundle(folder / "small.bundle")
    return Bundle.open(str(shutil.copytree(folder / "small.bundle", path)))


def _write_bundle(path: Path) -> None:
    import onnx
    from tensorflow.core.framework.graph_pb2 import GraphDef

    features, feature_onnx = _feature_graphs()
    weights, bias = _head()
    graph = frozen.attach_head(GraphDef.FromString(features), weights, bias)
    metadata = {"labels": json.dumps(LABELS), "input_contract": json.dumps(CONTRACT.to_json())}
    model = onnx_graph.attach_onnx_head(onnx.load_from_string(feature_onnx), weights, bias, metadata)
    with BundleWriter(str(path)) as writer:
        Path(writer.file(FROZEN_GRAPH)).write_bytes(frozen.serialize(graph))
        write_saved_model(graph, Path(writer.file(SAVED_MODEL)), LABELS)
        Path(writer.file(ONNX_MODEL)).write_bytes(onnx_graph.serialize(model))
        Path(writer.file("model.fp16.onnx")).write_bytes(onnx_graph.serialize(to_fp16(model)))
        shown = [np.full((40, 48, 3), COLOURS[label], np.uint8) for label in LABELS]
        with OnnxRuntimeSession(writer.file(ONNX_MODEL), threads=1) as session:
            write_golden(Path(writer.file(GOLDEN_FILE)), golden_images(shown, CONTRACT), CONTRACT, session)
        writer.finish(LABELS, CONTRACT, {"test_accuracy": 1.0}, {"data_set": SPLIT})


def with_file(bundle: Bundle, name: str, content: bytes) -> Bundle:
    """The bundle with another file in it, its hash entered in model.json."""
    return add_files(bundle, {name: content}, {}, {})


def changed_onnx(bundle: Bundle, name: str, change: Callable[[Any], None], source: str = "") -> Bundle:
    """The bundle with one of its ONNX graphs changed, or with a changed copy of another (``source``)."""
    import onnx

    model = onnx.load(bundle.file(source or name))
    change(model)
    return with_file(bundle, name, model.SerializeToString())


def scale_weights(node: str, factor: float) -> Callable[[Any], None]:
    """A change to an ONNX graph: the weights of one node multiplied, whatever their type."""
    from onnx import numpy_helper

    def change(model: Any) -> None:
        name = next(one.input[1] for one in model.graph.node if one.name == node)
        weights = next(one for one in model.graph.initializer if one.name == name)
        values = numpy_helper.to_array(weights)
        weights.CopyFrom(numpy_helper.from_array((values * factor).astype(values.dtype), name))

    return change
