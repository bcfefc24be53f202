"""The frozen graph: its tensors, its names, and that TensorFlow old and new runs it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_modules

from legoclf.convert import frozen, saved_model
from legoclf.convert.graph_def import duplicate
from legoclf.errors import LegoclfError, UsageError

TF115 = os.environ.get("LEGOCLF_TF115_PYTHON")


@pytest.fixture(scope="module")
def small_graph() -> Any:
    return frozen.freeze(_small_network, 32, 32)


def _small_network(image: Any) -> Any:
    return tf_modules.network(image, tf_modules.weights_of_modules())


def _probabilities(graph: Any, batch: np.ndarray, name: str = "final_result") -> np.ndarray:
    with frozen.FrozenGraph(graph, name) as session:
        return session.probabilities(batch)


@pytest.mark.parametrize("tensor", ["input:0", "Placeholder:0"])
def test_either_input_tensor_can_be_fed_in_a_session_and_to_a_pruned_function(
    tensor: str, small_graph: Any
) -> None:
    tf = frozen.import_tensorflow()
    graph = frozen.attach_head(small_graph, *tf_modules.head(tf_modules.FEATURES))
    batch = tf_modules.images(3)
    expected = _probabilities(graph, batch)
    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(duplicate(graph), name=""), []
    )
    pruned = wrapped.prune(tensor, "final_result:0")
    np.testing.assert_allclose(pruned(tf.constant(batch)), expected, atol=1e-6)
    with tf.compat.v1.Session(graph=wrapped.graph) as session:
        np.testing.assert_allclose(session.run("final_result:0", {tensor: batch}), expected, atol=1e-6)


def test_the_head_is_a_softmax_over_the_features_and_takes_any_batch(small_graph: Any) -> None:
    weights, bias = tf_modules.head(tf_modules.FEATURES)
    graph = frozen.attach_head(small_graph, weights, bias, "scores/final")
    for count in (2, 5):
        batch = tf_modules.images(count)
        logits = tf_modules.reference(batch) @ weights + bias
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(_probabilities(graph, batch, "scores/final"), expected, atol=1e-6)


def test_a_graph_from_its_file_equals_the_graph(tmp_path: Path, small_graph: Any) -> None:
    graph = frozen.attach_head(small_graph, *tf_modules.head(tf_modules.FEATURES))
    file = tmp_path / "frozen_graph.pb"
    file.write_bytes(frozen.serialize(graph))
    batch = tf_modules.images(3)
    np.testing.assert_array_equal(_probabilities(file, batch), _probabilities(graph, batch))
    assert frozen.image_size(frozen.read_frozen(file)) == (32, 32)


def test_running_a_graph_leaves_its_bytes_alone(small_graph: Any) -> None:
    graph = frozen.attach_head(small_graph, *tf_modules.head(tf_modules.FEATURES))
    before = frozen.serialize(graph)
    _probabilities(graph, tf_modules.images(2))
    assert frozen.serialize(graph) == before
    assert b"explicit_paddings" not in before


def test_names_are_plain_and_free_of_per_process_counters(classifier: Any) -> None:
    names = [node.name for node in classifier.node]
    outside = [name for name in names if not name.startswith("feature_vector/")]
    assert outside == [
        *("input", "Placeholder", "features"),
        *("head/weights", "head/bias", "head/product", "logits", "final_result"),
    ]
    assert len({name.lower() for name in names}) == len(names)
    assert "feature_vector/mobilenetv2_1.00/global_average_pooling2d/Mean" in names
    assert not [node.name for node in classifier.node if any(name.startswith("^") for name in node.input)]


def test_equal_networks_give_equal_bytes_whatever_keras_made_before(small_graph: Any) -> None:
    assert frozen.serialize(frozen.freeze(_small_network, 32, 32)) == frozen.serialize(small_graph)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "_final",
        "final result",
        "final:0",
        "final/",
        "Logits",
        "input",
        "head",
        "head/x",
        "feature_vector",
    ],
)
def test_a_final_tensor_name_that_cannot_be_is_refused(name: str, small_graph: Any) -> None:
    with pytest.raises(UsageError, match="--final_tensor_name"):
        frozen.attach_head(small_graph, *tf_modules.head(tf_modules.FEATURES), name)


def test_a_head_that_does_not_fit_is_refused(small_graph: Any) -> None:
    with pytest.raises(LegoclfError, match=r"weights \(6, 5\) and bias \(4,\)"):
        frozen.attach_head(small_graph, np.zeros((6, 5), np.float32), np.zeros(4, np.float32))
    with pytest.raises(LegoclfError, match=r"weights \[7, 5\] does not fit"):
        frozen.attach_head(small_graph, np.zeros((7, 5), np.float32), np.zeros(5, np.float32))


def test_what_is_no_feature_vector_is_refused_by_its_shape() -> None:
    tf = frozen.import_tensorflow()
    with pytest.raises(LegoclfError, match=r"shape \[N, 16, 16, 3\]"):
        frozen.freeze(lambda image: image[:, ::2, ::2], 32, 32)
    with pytest.raises(LegoclfError, match=r"a dict \(logits \[N, 3\]\)"):
        frozen.freeze(lambda image: {"logits": tf.reduce_mean(image, [1, 2])}, 32, 32)
    with pytest.raises(LegoclfError, match=r"shape \[4, 3\]"):
        frozen.freeze(lambda image: tf.reduce_mean(tf.ensure_shape(image, [4, 32, 32, 3]), [1, 2]), 32, 32)
    with pytest.raises(LegoclfError, match="does not depend on its input"):
        frozen.freeze(lambda image: tf.stack(2 * [tf.unique(tf.constant([1.0]))[0]], 1), 32, 32)


def test_a_file_that_is_no_graph_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "broken.pb"
    file.write_bytes(b"\xff\xff\xff")
    with pytest.raises(LegoclfError, match=r"broken\.pb cannot be read as a frozen graph"):
        frozen.read_frozen(file)
    with pytest.raises(LegoclfError, match=r"absent\.pb"):
        frozen.read_frozen(tmp_path / "absent.pb")


def test_a_tensor_that_is_not_there_is_named(small_graph: Any) -> None:
    with pytest.raises(LegoclfError, match=r"no tensor 'final_result'.*--final_tensor_name"):
        frozen.FrozenGraph(small_graph)


def test_the_modules_import_with_numpy_alone() -> None:
    names = ("foreign", "frozen", "graph_def", "lint", "novelty", "onnx_graph", "saved_model", "targets")
    code = f"""
import sys
for name in ("tensorflow", "keras", "onnx", "tf2onnx", "onnxslim", "tensorflow_hub"):
    sys.modules[name] = None
import importlib
for name in {names}:
    importlib.import_module("legoclf.convert." + name)
import legoclf.retrain.feature_vector
from legoclf.convert import frozen
try:
    frozen.import_tensorflow()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("LegoclfError the package 'tensorflow' is not installed")


_TF115_CODE = """
import sys, numpy, tensorflow as tf
folder = sys.argv[1]
batch = numpy.load(folder + "/batch.npy")
results = []
graph_def = tf.compat.v1.GraphDef()
with open(folder + "/frozen_graph.pb", "rb") as file:
    graph_def.ParseFromString(file.read())
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.import_graph_def(graph_def, name="")
    for name in ("input:0", "Placeholder:0"):
        results.append(session.run("final_result:0", {name: batch}))
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], folder + "/saved_model")
    signature = meta.signature_def["serving_default"]
    feed = {signature.inputs["image"].name: batch}
    results.append(session.run(signature.outputs["prediction"].name, feed))
numpy.save(folder + "/results.npy", numpy.stack(results))
"""


@pytest.mark.skipif(not TF115, reason="LEGOCLF_TF115_PYTHON names no Python 3.7 with TensorFlow 1.15")
def test_tensorflow_1_15_runs_the_frozen_graph_and_the_saved_model(
    tmp_path: Path, classifier: Any, photos: np.ndarray
) -> None:
    (tmp_path / "frozen_graph.pb").write_bytes(frozen.serialize(classifier))
    saved_model.write_saved_model(classifier, tmp_path / "saved_model")
    np.save(tmp_path / "batch.npy", photos)
    subprocess.run([str(TF115), "-W", "ignore", "-c", _TF115_CODE, str(tmp_path)], check=True)
    expected = _probabilities(classifier, photos)
    # Another release's kernels sum in another order; measured 6e-6.
    for result in np.load(tmp_path / "results.npy"):
        np.testing.assert_allclose(result, expected, atol=1e-4)
