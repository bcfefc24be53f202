"""Other people's classifiers: labels, the choice of a tensor, and each refusal in one line."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_models import (
    LABELS,
    PARITY,
    SIZE,
    Maker,
    graph_network,
    images_of,
    make_called_module,
    make_h5_file,
    make_keras_export,
    make_keras_file,
    make_own_frozen,
    make_predict_signature,
    make_tf1_frozen,
    make_tf1_saved_model,
    network,
    of_graph,
    of_keras,
    outputs_of,
    write_graph,
)

from legoclf.convert import frozen
from legoclf.convert.foreign import load_foreign, parse_size, read_label_file
from legoclf.convert.foreign_keras import import_keras
from legoclf.errors import ContractError, LegoclfError, UsageError

# ---- labels


@pytest.mark.parametrize("labels", [LABELS[:2], [*LABELS, "tile"]])
def test_labels_one_short_or_too_many_are_refused_with_both_counts(labels: list[str], tmp_path: Path) -> None:
    path, _ = make_own_frozen(tmp_path)
    with pytest.raises(LegoclfError, match=f"gives 3 classes and --labels names {len(labels)}"):
        load_foreign(path, labels, input_range="0..1")


def test_one_value_wants_two_labels(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "graph.pb", lambda image: graph_network(image)[:, :1])
    with pytest.raises(LegoclfError, match="one value, which makes 2 classes and --labels names 1"):
        load_foreign(path, ["brick"], input_range="0..1", output="logits")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\nb", ["a", "b"]),
        ("a\nb\n", ["a", "b"]),
        ("\ufeffa\r\n  brick 2x4 \r\n\n", ["a", "brick 2x4"]),
        ("プレート\nkød 🧱\n", ["プレート", "kød 🧱"]),
    ],
)
def test_a_label_file_is_read_as_people_write_it(content: str, expected: list[str], tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(content.encode())
    assert read_label_file(file) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 is no name"),
        (b"a\n\nb\n", "line 2 is no name"),
        (b"a\nb\x0bc\n", "line 2 is no name"),
        (b"a\nb\na\n", "lines 1 and 3 are both 'a'"),
        (b"a\n\xff\n", "cannot be read as UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_label_file_is_refused_by_its_line(content: bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LegoclfError, match=f"--labels .*labels.txt: {message}"):
        read_label_file(file)


# ---- what is refused: each in one line that names the file


def refusal(path: Path, **settings: Any) -> str:
    """The message of a refusal, which must be one line and name the file."""
    with pytest.raises(LegoclfError) as caught:
        load_foreign(path, LABELS, **{"input_range": "0..1", **settings})
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert message.startswith(str(path))
    return message


def test_a_path_that_is_nothing_is_refused(tmp_path: Path) -> None:
    assert "no such file or folder; expected a SavedModel's folder" in refusal(tmp_path / "absent.keras")
    assert "the folder has no saved_model.pb" in refusal(tmp_path)
    other = tmp_path / "model.tflite"
    other.write_bytes(b"TFL3")
    assert "'.tflite' is none of the formats" in refusal(other)


@pytest.mark.parametrize("make", [make_keras_file, make_h5_file])
@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.98])
def test_a_cut_keras_file_is_refused(make: Maker, kept: float, tmp_path: Path) -> None:
    path, _ = make(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    assert "cannot be loaded as a Keras model" in refusal(path)


def test_a_keras_file_with_another_json_in_it_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "[1, 2]")
    assert "cannot be loaded as a Keras model" in refusal(tmp_path / "model.keras")


@pytest.mark.parametrize("kept", [0, 0.3, 0.6, 0.9, 0.999])
def test_a_cut_frozen_graph_is_refused(kept: float, tmp_path: Path) -> None:
    path, _ = make_tf1_frozen(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    refusal(path)


@pytest.mark.parametrize("make", [make_called_module, make_tf1_saved_model])
def test_a_damaged_saved_model_is_refused(make: Maker, tmp_path: Path) -> None:
    path, _ = make(tmp_path)
    model = path / "saved_model.pb"
    whole = model.read_bytes()
    for data in (b"", whole[: len(whole) // 2], b"\xff" * 100):
        model.write_bytes(data)
        refusal(path)


def test_a_saved_model_without_its_variables_is_refused(tmp_path: Path) -> None:
    path, _ = make_keras_export(tmp_path)
    for file in (path / "variables").iterdir():
        file.unlink()
    assert "cannot be read as a SavedModel" in refusal(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_keras_file_with_layers_of_its_own_names_them_and_the_way_out(suffix: str, tmp_path: Path) -> None:
    keras = import_keras()

    class Doubling(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return 2 * x

    model = keras.Sequential([keras.layers.Input((SIZE, SIZE, 3)), Doubling(), *network().layers])
    model.save(tmp_path / f"model{suffix}")
    message = refusal(tmp_path / f"model{suffix}")
    assert "Doubling, which Keras does not know" in message
    assert "model.export('folder')" in message


def test_weights_without_a_model_are_refused(tmp_path: Path) -> None:
    network().save_weights(tmp_path / "model.weights.h5")
    assert "holds weights without a model" in refusal(tmp_path / "model.weights.h5")


def two_inputs() -> Any:
    keras = import_keras()
    image, mask = keras.layers.Input((SIZE, SIZE, 3), name="image"), keras.layers.Input((4,), name="mask")
    joined = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(image), mask])
    return keras.Model([image, mask], keras.layers.Dense(3, activation="softmax")(joined))


def test_a_model_of_two_inputs_is_refused(tmp_path: Path) -> None:
    model = two_inputs()
    model.save(tmp_path / "model.keras")
    message = refusal(tmp_path / "model.keras")
    assert "takes 2 inputs (image [None, 32, 32, 3], mask [None, 4])" in message
    model.export(str(tmp_path / "exported"), verbose=False)
    assert "'serving_default' takes 2 inputs (image, mask)" in refusal(tmp_path / "exported")


@pytest.mark.parametrize(
    ("shape", "said"),
    [((SIZE, SIZE, 1), "[N, 32, 32, 1]"), ((3, SIZE, SIZE), "(channels first)"), ((12,), "[N, 12]")],
)
def test_an_input_that_is_no_colour_image_is_refused(
    shape: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    layers = import_keras().layers
    model = import_keras().Sequential([layers.Input(shape), layers.Flatten(), layers.Dense(3)])
    model.save(tmp_path / "model.keras")
    message = refusal(tmp_path / "model.keras")
    assert said in message
    assert "expected images [N, H, W, 3]" in message


def test_a_model_of_one_batch_size_is_refused(tmp_path: Path) -> None:
    tf = frozen.import_tensorflow()
    path = write_graph(tmp_path / "graph.pb", lambda image: tf.reshape(graph_network(image), [1, 3]))
    assert "'Reshape' [1, 3] for any number of images: it was saved for one batch size" in refusal(path)


def test_a_feature_map_is_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "graph.pb", lambda image: image[:, ::2, ::2] * 2.0)
    assert "[N, 16, 16, 3] float32; expected a value for each class" in refusal(path)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((64, 64), "--input_size 64x64: the model takes 32x32 only"),
        ((32, 64), "--input_size 32x64: the model takes 32x32 only"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(size: tuple[int, int], message: str, tmp_path: Path) -> None:
    path, _ = make_own_frozen(tmp_path)
    assert message in refusal(path, input_size=size)


def test_a_model_of_any_size_asks_for_one(tmp_path: Path) -> None:
    path, _ = make_predict_signature(tmp_path)
    assert "pass --input_size" in refusal(path)
    made = load_foreign(path, LABELS, input_range="0..1", input_size=(48, 40))
    assert frozen.image_size(made.frozen) == (made.contract.height, made.contract.width) == (48, 40)


def test_a_geometry_that_is_none_is_refused(tmp_path: Path) -> None:
    path, _ = make_own_frozen(tmp_path)
    with pytest.raises(ContractError, match="geometry: got 'stretch', expected one of"):
        load_foreign(path, LABELS, input_range="0..1", geometry="stretch")


@pytest.mark.parametrize(("text", "size"), [("224", (224, 224)), ("192x160", (192, 160))])
def test_a_size_is_one_side_or_two(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "0", "12x", "1x2x3", "-4", "3.5"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--input_size"):
        parse_size(text)


# ---- which tensor


def two_heads(image: Any) -> None:
    tf = frozen.import_tensorflow()
    tf.nn.softmax(graph_network(image), name="scores")
    tf.nn.softmax(graph_network(image * 2)[:, :2], name="colours")


def test_a_graph_of_two_outputs_asks_which_and_takes_the_one_named(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "graph.pb", two_heads)
    message = refusal(path)
    assert "pass --output_tensor NAME, one of scores (float32 [N, 3]), colours (float32 [N, 2])" in message
    assert "--output_tensor shapes: not in the graph" in refusal(path, output_tensor="shapes")
    for name in ("scores", "scores:0"):
        made = load_foreign(path, LABELS, input_range="0..1", output_tensor=name)
        images = images_of(3)
        np.testing.assert_allclose(outputs_of(made, images)["onnx"], of_graph(images), atol=PARITY)


def test_the_softmax_is_the_output_where_a_class_number_is_made_of_it(tmp_path: Path) -> None:
    tf = frozen.import_tensorflow()
    path = write_graph(tmp_path / "graph.pb", lambda image: tf.argmax(tf.nn.softmax(graph_network(image)), 1))
    made = load_foreign(path, LABELS, input_range="0..1")
    images = images_of(3)
    np.testing.assert_allclose(outputs_of(made, images)["onnx"], of_graph(images), atol=PARITY)


def test_a_keras_model_of_two_outputs_asks_which_and_takes_the_one_named(tmp_path: Path) -> None:
    keras = import_keras()
    model = network()
    features = model.layers[-2].output
    colours = keras.layers.Dense(2, name="colours")(features)
    shapes = keras.layers.Dense(3, name="shapes", activation="softmax")(features)
    keras.Model(model.inputs[0], [colours, shapes]).save(tmp_path / "model.keras")
    message = refusal(tmp_path / "model.keras")
    assert "colours [N, 2], shapes [N, 3]: pass --output_tensor NAME" in message
    made = load_foreign(tmp_path / "model.keras", LABELS, input_range="0..1", output_tensor="shapes")
    images = images_of(3)
    expected = of_keras(keras.Model(model.inputs[0], shapes))(images)
    np.testing.assert_allclose(outputs_of(made, images)["onnx"], expected, atol=PARITY)


def decoded(session_tf: Any) -> None:
    tf = session_tf
    contents = tf.compat.v1.placeholder(tf.string, [], name="contents")
    image = tf.cast(tf.io.decode_jpeg(contents, channels=3), tf.float32, name="decoded")
    image = tf.image.resize(image[None] / 255.0, [SIZE, SIZE])
    tf.nn.softmax(graph_network(tf.identity(image, name="scaled")), name="scores")


def test_decoding_in_the_graph_is_left_out_by_naming_the_tensor_behind_it(tmp_path: Path) -> None:
    tf = frozen.import_tensorflow()
    with tf.Graph().as_default() as graph:
        decoded(tf)
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    message = refusal(path)
    assert "input 'contents' is string" in message
    assert "--input_tensor can name the tensor behind its decoding" in message
    made = load_foreign(path, LABELS, input_range="0..1", input_tensor="scaled")
    images = images_of(3)
    np.testing.assert_allclose(outputs_of(made, images)["onnx"], of_graph(images), atol=PARITY)


def test_two_images_ask_which_and_another_placeholder_is_named(tmp_path: Path) -> None:
    tf = frozen.import_tensorflow()

    def pair(image: Any) -> Any:
        other = tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="other")
        return tf.nn.softmax(graph_network(image + other))

    path = write_graph(tmp_path / "pair.pb", pair)
    assert "pass --input_tensor NAME, one of image (float32 [N, 32, 32, 3]), other" in refusal(path)
    assert "--input_tensor x: not in the graph; candidates are image" in refusal(path, input_tensor="x")
    assert "needs 'other' beside the image 'image'" in refusal(path, input_tensor="image")

    def dropout(image: Any) -> Any:
        keep = tf.compat.v1.placeholder(tf.float32, [], name="keep_prob")
        return tf.nn.softmax(graph_network(image) * keep)

    path = write_graph(tmp_path / "dropout.pb", dropout)
    assert "needs 'keep_prob' beside the image 'image': freeze the graph for inference" in refusal(path)


def test_a_loop_of_tensorflow_1_is_refused(tmp_path: Path) -> None:
    tf = frozen.import_tensorflow()
    v1 = tf.compat.v1

    def doubled(image: Any) -> Any:
        logits = v1.while_loop(lambda x: tf.reduce_sum(x) < 1e6, lambda x: [x * 2], [graph_network(image)])
        return tf.reshape(logits, [-1, 3], name="logits")

    v1.disable_control_flow_v2()
    try:
        path = write_graph(tmp_path / "graph.pb", doubled)
    finally:
        v1.enable_control_flow_v2()
    assert "loop ('" in refusal(path, output_tensor="logits")
