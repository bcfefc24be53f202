"""The ONNX graph: its form, and that it gives what Keras and the frozen graph give."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_modules

from legoclf.convert import frozen, onnx_graph
from legoclf.errors import LegoclfError
from legoclf.retrain import feature_vector
from legoclf.retrain.feature_vector import FeatureVector

onnx = pytest.importorskip("onnx")


def _shape(value: Any) -> list[Any]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def test_features_are_those_of_keras_with_the_same_weights(
    vector: FeatureVector, photos: np.ndarray, record_property: Any
) -> None:
    frozen.import_tensorflow()
    import keras

    network = keras.applications.MobileNetV2(
        weights=str(feature_vector.EMBEDDED_WEIGHTS),
        include_top=False,
        pooling="avg",
        input_shape=(224, 224, 3),
    )
    expected = network(photos * 2 - 1, training=False).numpy()
    got = tf_modules.run_onnx(str(vector.onnx_path), photos, "features")
    error = float(np.abs(got - expected).max() / np.abs(expected).max())
    record_property("relative_error", error)
    # Folding batch-norms rounds the weights once more; measured 3e-6.
    assert error <= 1e-3


def test_the_frozen_graph_and_the_onnx_graph_agree(
    classifier: Any, onnx_classifier: bytes, photos: np.ndarray
) -> None:
    with frozen.FrozenGraph(classifier) as session:
        expected = session.probabilities(photos)
    got = tf_modules.run_onnx(onnx_classifier, photos, "probabilities")
    assert len(set(expected.argmax(axis=1))) > 1, "a head that always says the same tests nothing"
    np.testing.assert_array_equal(got.argmax(axis=1), expected.argmax(axis=1))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_the_embedded_network_is_convolutions_and_little_else(vector: FeatureVector) -> None:
    model = onnx.load(vector.onnx_path)
    counts = collections.Counter(node.op_type for node in model.graph.node)
    assert counts == {
        "Conv": 52, "Clip": 35, "Add": 10, "Mul": 1, "Sub": 1, "GlobalAveragePool": 1, "Squeeze": 1,
    }  # fmt: skip
    # ×2−1 comes first and apart: folded into the padded convolution it would be wrong at the borders.
    assert [node.op_type for node in model.graph.node[:3]] == ["Mul", "Sub", "Conv"]


def test_the_graph_is_of_opset_13_and_named_plainly(vector: FeatureVector) -> None:
    model = onnx.load(vector.onnx_path)
    assert model.ir_version == 7
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]
    assert [(each.name, _shape(each)) for each in model.graph.input] == [("input", ["batch", 3, 224, 224])]
    assert [(each.name, _shape(each)) for each in model.graph.output] == [("features", ["batch", 1280])]
    assert model.graph.node[2].name == "Conv_2"
    assert list(model.graph.node[2].input) == ["Sub_1", "Conv_2.weight", "Conv_2.bias"]
    assert model.graph.node[-1].output[0] == "features"
    text = onnx_graph.serialize(model)
    assert b"tf2onnx" not in text
    assert b"ReadVariableOp" not in text
    assert b"unk__" not in text


def test_the_head_adds_logits_and_probabilities_and_carries_metadata(
    vector: FeatureVector, onnx_classifier: bytes, head: tuple[np.ndarray, np.ndarray], photos: np.ndarray
) -> None:
    model = onnx.load_from_string(onnx_classifier)
    assert [(each.name, _shape(each)) for each in model.graph.output] == [
        ("logits", ["batch", 5]),
        ("probabilities", ["batch", 5]),
    ]
    metadata = {each.key: each.value for each in model.metadata_props}
    assert metadata == {"labels": "brick\nplate", "contract": "{}"}
    weights, bias = head
    features = tf_modules.run_onnx(str(vector.onnx_path), photos, "features")
    logits = tf_modules.run_onnx(onnx_classifier, photos, "logits")
    np.testing.assert_allclose(logits, features @ weights + bias, atol=1e-4)
    probabilities = tf_modules.run_onnx(onnx_classifier, photos, "probabilities")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_a_head_that_does_not_fit_is_refused(vector: FeatureVector) -> None:
    model = onnx.load(vector.onnx_path)
    with pytest.raises(LegoclfError, match="takes 3 features; this feature vector gives 1280"):
        onnx_graph.attach_onnx_head(model, np.zeros((3, 2), np.float32), np.zeros(2, np.float32))


@pytest.mark.parametrize("form", ["tf2", "tf1"])
def test_depthwise_batch_norms_of_other_modules_are_folded_too(form: str, tmp_path: Path) -> None:
    save = tf_modules.save_tf2_module if form == "tf2" else tf_modules.save_tf1_module
    vector = feature_vector.load_feature_vector(str(save(tmp_path / "module")), cache_dir=tmp_path)
    operators = {node.op_type for node in onnx.load(vector.onnx_path).graph.node}
    assert not operators & {"BatchNormalization", "Transpose", "Pad"}


def test_control_flow_is_refused_by_name() -> None:
    tf = frozen.import_tensorflow()

    def branching(image: Any) -> Any:
        mean = tf.reduce_mean(image, [1, 2])
        return tf.cond(tf.reduce_sum(mean) > 1, lambda: mean * 2, lambda: mean - 1)

    with pytest.raises(LegoclfError, match=r"control flow \(If\)"):
        onnx_graph.feature_graph_to_onnx(frozen.freeze(branching, 32, 32))
