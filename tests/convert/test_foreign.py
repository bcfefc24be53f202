"""Other people's classifiers, in each format: both graphs against the original, and their form."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_models import (
    LABELS,
    MAKERS,
    PARITY,
    SIZE,
    Function,
    Maker,
    graph_network,
    images_of,
    make_called_module,
    make_keras_file,
    make_own_frozen,
    network,
    of_graph,
    of_keras,
    outputs_of,
    random_network,
    shape_of,
    softmax,
    write_graph,
)

from legoclf.convert import frozen, onnx_graph
from legoclf.convert.foreign import Foreign, load_foreign, read_label_file
from legoclf.convert.foreign_keras import import_keras
from legoclf.errors import LegoclfError, UsageError

TF115 = os.environ.get("LEGOCLF_TF115_PYTHON")


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__.removeprefix("make_"))
def test_both_graphs_give_what_the_original_gives(make: Maker, tmp_path: Path, record_property: Any) -> None:
    path, original = make(tmp_path)
    images = images_of(6)
    foreign = load_foreign(path, LABELS, input_range="0..1", input_size=(SIZE, SIZE))
    got = outputs_of(foreign, images)
    expected = original(images)
    assert np.ptp(expected, axis=0).max() > 0.1, "a model that always says the same tests nothing"
    for name in ("frozen", "onnx"):
        record_property(name, float(np.abs(got[name] - expected).max()))
        np.testing.assert_allclose(got[name], expected, atol=PARITY)
        np.testing.assert_allclose(softmax(got[f"{name} logits"]), expected, atol=PARITY)
    assert foreign.provenance["output"] == "softmax"
    assert not foreign.frozen.library.function


# ---- the form of what comes out


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    path, _ = make_own_frozen(tmp_path_factory.mktemp("foreign"))
    return load_foreign(path, LABELS, input_range="-1..1", geometry="centre-crop", resample="bilinear")


def test_the_onnx_graph_is_of_the_bundles_form(foreign: Foreign) -> None:
    model = foreign.onnx
    assert model.ir_version == 7
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]
    inputs = [(each.name, shape_of(each)) for each in model.graph.input]
    assert inputs == [("input", ["batch", 3, SIZE, SIZE])]
    outputs = [(each.name, shape_of(each)) for each in model.graph.output]
    assert outputs == [("logits", ["batch", 3]), ("probabilities", ["batch", 3])]
    operators = [node.op_type for node in model.graph.node]
    assert operators[:3] == ["Mul", "Sub", "Conv"]
    assert operators[-1] == "Softmax"
    assert not {"Transpose", "Pad", "Identity", "Cast", "BatchNormalization"} & set(operators)


def test_labels_and_contract_travel_in_the_onnx_graph(foreign: Foreign) -> None:
    metadata = {each.key: each.value for each in foreign.onnx.metadata_props}
    assert json.loads(metadata["labels"]) == foreign.labels == LABELS
    assert json.loads(metadata["input_contract"]) == foreign.contract.to_json()
    assert foreign.contract._replace(scale=0.0) == (SIZE, SIZE, "RGB", "centre-crop", "bilinear", 0.0, 0.0)


def test_the_frozen_graph_is_of_the_bundles_form(foreign: Foreign) -> None:
    names = [node.name for node in foreign.frozen.node]
    outside = [name for name in names if not name.startswith("feature_vector/")]
    assert outside == ["input", "Placeholder", "logits", "final_result"]
    assert not [name for name in names if name.startswith("feature_vector/feature_vector/")]
    assert b"explicit_paddings" not in frozen.serialize(foreign.frozen)
    assert not foreign.frozen.library.function


def test_the_alias_can_be_fed_too(foreign: Foreign) -> None:
    tf = frozen.import_tensorflow()
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(foreign.frozen, name="")
        images = images_of(2)
        with tf.compat.v1.Session(graph=graph) as session:
            by_input, by_alias = (
                session.run("final_result:0", {f"{name}:0": images}) for name in ("input", "Placeholder")
            )
    np.testing.assert_array_equal(by_input, by_alias)


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (
        load_foreign(make_keras_file(tmp_path)[0], LABELS, input_range="caffe") for _ in range(2)
    )
    assert frozen.serialize(first.frozen) == frozen.serialize(second.frozen)
    assert onnx_graph.serialize(first.onnx) == onnx_graph.serialize(second.onnx)


def test_what_it_was_made_of_is_recorded(foreign: Foreign, tmp_path: Path) -> None:
    assert foreign.provenance["source"] == "frozen graph"
    assert foreign.provenance["name"] == "frozen_graph.pb"
    assert foreign.provenance["input_range"] == "-1..1"
    path, _ = make_called_module(tmp_path)
    saved = load_foreign(path / "saved_model.pb", LABELS, input_range="0..1")
    assert saved.provenance["source"] == "SavedModel"
    assert len(saved.provenance["sha256"]) == len(foreign.provenance["sha256"]) == 64


def test_the_softmax_of_the_frozen_graph_can_have_another_name(tmp_path: Path) -> None:
    path, original = make_own_frozen(tmp_path)
    made = load_foreign(path, LABELS, input_range="0..1", final_tensor_name="scores/final")
    images = images_of(2)
    with frozen.FrozenGraph(made.frozen, "scores/final") as session:
        np.testing.assert_allclose(session.probabilities(images), original(images), atol=PARITY)


# ---- the model's own range of values

RANGES: dict[str, Function] = {
    "0..1": lambda image: image,
    "-1..1": lambda image: image * 2 - 1,
    "0..255": lambda image: image * 255,
    "imagenet": lambda image: (image - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "caffe": lambda image: image[..., ::-1] * 255 - [103.939, 116.779, 123.68],
}


@pytest.mark.parametrize("name", RANGES)
def test_the_models_own_range_is_made_of_0_to_1(name: str, tmp_path: Path) -> None:
    tf = frozen.import_tensorflow()
    # So that the logits are of the same size whatever the range.
    least, most = (RANGES[name](np.full((1, 1, 1, 3), value)).mean() for value in (0.0, 1.0))

    def logits(image: Any) -> Any:
        return graph_network((image - np.float32(least)) / np.float32(most - least))

    path = write_graph(tmp_path / "graph.pb", logits)
    images = images_of(5)
    expected = softmax(logits(tf.constant(RANGES[name](images), tf.float32)).numpy())
    made = load_foreign(path, LABELS, input_range=name)
    got = outputs_of(made, images)
    np.testing.assert_allclose(got["frozen"], expected, atol=PARITY)
    np.testing.assert_allclose(got["onnx"], expected, atol=PARITY)
    assert not {"Transpose", "Gather", "Pad"} & {node.op_type for node in made.onnx.graph.node}


def test_a_range_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--input_range 0\.\.2: expected one of 0\.\.1, -1\.\.1"):
        load_foreign(tmp_path, LABELS, input_range="0..2")


# ---- logits or probabilities


def by_exp(logits: Any) -> Any:
    tf = frozen.import_tensorflow()
    powers = tf.exp(logits)
    return powers / tf.reduce_sum(powers, 1, keepdims=True)


def by_reshape(logits: Any) -> Any:
    tf = frozen.import_tensorflow()
    return tf.reshape(tf.nn.softmax(tf.reshape(logits, [-1, 1, 1, 3])), [-1, 3])


def unsqueezed(logits: Any) -> Any:
    tf = frozen.import_tensorflow()
    return tf.reshape(tf.nn.softmax(logits), [-1, 1, 1, 3])


@pytest.mark.parametrize(
    ("ending", "told", "kind"),
    [
        (lambda logits: logits, None, "logits"),
        (lambda logits: logits, "logits", "logits"),
        (by_exp, None, "probabilities"),
        (by_exp, "probabilities", "probabilities"),
        (by_reshape, None, "softmax"),
        (by_reshape, "probabilities", "softmax"),
        (unsqueezed, None, "softmax"),
    ],
)
def test_logits_and_probabilities_are_told_apart(
    ending: Callable[[Any], Any], told: str | None, kind: str, tmp_path: Path
) -> None:
    path = write_graph(tmp_path / "graph.pb", lambda image: ending(graph_network(image)))
    made = load_foreign(path, LABELS, input_range="0..1", output=told)
    assert made.provenance["output"] == kind
    images = images_of(5)
    got = outputs_of(made, images)
    np.testing.assert_allclose(got["frozen"], of_graph(images), atol=PARITY)
    np.testing.assert_allclose(got["onnx"], of_graph(images), atol=PARITY)
    if kind != "probabilities":
        expected = graph_network(images).numpy()
        np.testing.assert_allclose(got["onnx logits"], expected, atol=PARITY * np.abs(expected).max())


@pytest.mark.parametrize(
    ("ending", "told", "kind"),
    [
        (lambda tf, z: tf.sigmoid(z), None, "sigmoid"),
        (lambda tf, z: z, "logits", "logits"),
        (lambda tf, z: 1 / (1 + tf.exp(-z)), "probabilities", "probabilities"),
    ],
)
def test_one_value_becomes_two_classes(
    ending: Callable[[Any, Any], Any], told: str | None, kind: str, tmp_path: Path
) -> None:
    tf = frozen.import_tensorflow()
    path = write_graph(tmp_path / "graph.pb", lambda image: ending(tf, graph_network(image)[:, :1]))
    made = load_foreign(path, ["no brick", "brick"], input_range="0..1", output=told)
    assert made.provenance["output"] == kind
    images = images_of(5)
    p = 1 / (1 + np.exp(-graph_network(images).numpy()[:, :1]))
    expected = np.concatenate([1 - p, p], axis=1)
    assert np.ptp(p) > 0.1
    got = outputs_of(made, images)
    np.testing.assert_allclose(got["frozen"], expected, atol=PARITY)
    np.testing.assert_allclose(got["onnx"], expected, atol=PARITY)
    assert got["onnx logits"].shape == (5, 2)


def test_a_keras_model_of_one_sigmoid_is_a_classifier_of_two(tmp_path: Path) -> None:
    model = network("sigmoid", classes=1)
    model.save(tmp_path / "binary.keras")
    made = load_foreign(tmp_path / "binary.keras", ["no", "yes"], input_range="0..1")
    images = images_of(4)
    np.testing.assert_allclose(outputs_of(made, images)["onnx"][:, 1:], of_keras(model)(images), atol=PARITY)


def test_a_probability_of_0_has_a_finite_logit(tmp_path: Path) -> None:
    tf = frozen.import_tensorflow()

    def certain(image: Any) -> Any:
        strong = tf.nn.relu(by_exp(graph_network(image)) - 0.33)
        return strong / tf.reduce_sum(strong, 1, keepdims=True)

    images = images_of(5)
    expected = certain(images).numpy()
    assert (expected == 0).any()
    path = write_graph(tmp_path / "graph.pb", certain)
    got = outputs_of(load_foreign(path, LABELS, input_range="0..1"), images)
    for name in ("frozen", "onnx"):
        assert np.isfinite(got[f"{name} logits"]).all()
        np.testing.assert_allclose(got[name], expected, atol=PARITY)


def test_logits_that_add_up_to_1_are_no_probabilities(tmp_path: Path) -> None:
    tf = frozen.import_tensorflow()

    def shifted(image: Any) -> Any:
        logits = graph_network(image)
        return logits - tf.reduce_mean(logits, 1, keepdims=True) + 1 / 3

    path = write_graph(tmp_path / "graph.pb", shifted)
    made = load_foreign(path, LABELS, input_range="0..1")
    assert made.provenance["output"] == "logits"


@pytest.mark.parametrize(
    ("ending", "labels", "told", "message"),
    [
        (by_reshape, LABELS, "logits", "--output logits: the model ends in a softmax"),
        (lambda z: z[:, :1], ["no", "yes"], None, "one value and no sigmoid: pass --output logits or prob"),
        (lambda z: frozen.import_tensorflow().sigmoid(z), LABELS, None, "a sigmoid over 3 values"),
        (by_reshape, LABELS, "odds", "--output odds: expected logits or probabilities"),
    ],
)
def test_an_ending_that_cannot_be_is_refused(
    ending: Callable[[Any], Any], labels: list[str], told: str | None, message: str, tmp_path: Path
) -> None:
    path = write_graph(tmp_path / "graph.pb", lambda image: ending(graph_network(image)))
    with pytest.raises(LegoclfError, match=message):
        load_foreign(path, labels, input_range="0..1", output=told)


# ---- precision


def test_a_model_of_mixed_precision_becomes_one_of_float32(tmp_path: Path) -> None:
    keras = import_keras()
    plain = network()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = network()
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(plain.get_weights())
    mixed.save(tmp_path / "mixed.keras")
    made = load_foreign(tmp_path / "mixed.keras", LABELS, input_range="0..1")
    assert "Cast" not in {node.op_type for node in made.onnx.graph.node}
    images = images_of(4)
    np.testing.assert_allclose(outputs_of(made, images)["onnx"], of_keras(plain)(images), atol=PARITY)


# ---- any labels, any small network


@pytest.mark.parametrize("seed", range(4))
def test_any_small_network_and_any_labels_go_through(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.choice([2, 3, 17, 1000]))
    letters = list("abc XYZ-_.,'\"éßøЖ漢字🧱%{}\\/")
    labels = [f"{''.join(rng.choice(letters, 8)).strip()}·{index}" for index in range(classes)]
    model = random_network(rng, classes)
    model.save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_bytes("".join(f"{label}\n" for label in labels).encode())
    read = read_label_file(tmp_path / "labels.txt")
    assert read == labels
    made = load_foreign(tmp_path / "model.keras", read, input_range="-1..1")
    metadata = {each.key: each.value for each in made.onnx.metadata_props}
    assert json.loads(metadata["labels"]) == labels
    images = images_of(3, seed)
    expected = of_keras(model)(images * 2 - 1)
    got = outputs_of(made, images)
    np.testing.assert_allclose(got["frozen"], expected, atol=PARITY)
    np.testing.assert_allclose(got["onnx"], expected, atol=PARITY)


# ---- TensorFlow 1.15

_TF115_CODE = """
import sys, numpy, tensorflow as tf
folder = sys.argv[1]
graph_def = tf.compat.v1.GraphDef()
with open(folder + "/frozen_graph.pb", "rb") as file:
    graph_def.ParseFromString(file.read())
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.import_graph_def(graph_def, name="")
    feed = {"Placeholder:0": numpy.load(folder + "/batch.npy")}
    numpy.save(folder + "/results.npy", session.run("final_result:0", feed))
"""


@pytest.mark.skipif(not TF115, reason="LEGOCLF_TF115_PYTHON names no Python 3.7 with TensorFlow 1.15")
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__.removeprefix("make_"))
def test_tensorflow_1_15_runs_the_frozen_graph(make: Maker, tmp_path: Path, record_property: Any) -> None:
    path, original = make(tmp_path)
    made = load_foreign(path, LABELS, input_range="0..1", input_size=(SIZE, SIZE))
    (tmp_path / "frozen_graph.pb").write_bytes(frozen.serialize(made.frozen))
    images = images_of(4)
    np.save(tmp_path / "batch.npy", images)
    subprocess.run([str(TF115), "-W", "ignore", "-c", _TF115_CODE, str(tmp_path)], check=True)
    error = float(np.abs(np.load(tmp_path / "results.npy") - original(images)).max())
    record_property("error", error)
    # Another release's kernels sum in another order.
    assert error <= PARITY
