"""Classifiers of every format that people bring, small, each with what it gives: made by the tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tf_modules

from legoclf.convert import frozen, onnx_graph
from legoclf.convert.foreign import Foreign
from legoclf.convert.foreign_keras import import_keras

SIZE = 32
LABELS = ["brick 2×4", "plate", "プレート"]
# Another order of the same float32 sums; measured 6e-7.
PARITY = 1e-5

Function = Callable[[np.ndarray], np.ndarray]
Maker = Callable[[Path], tuple[Path, Function]]


def network(activation: str | None = "softmax", classes: int = 3, seed: int = 3) -> Any:
    """A small Keras classifier with opinions and a batch-norm that has seen something."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((SIZE, SIZE, 3), name="image"),
            layers.Conv2D(4, 3, strides=2, padding="same"),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.GlobalAveragePooling2D(),
            layers.Dense(classes, activation=activation),
        ]
    )
    rng = np.random.default_rng(seed)
    values = [
        rng.uniform(0.3, 1.2, each.shape) if each.ndim == 1 else rng.normal(0, 0.8, each.shape)
        for each in model.get_weights()
    ]
    model.set_weights(values)
    features = keras.Model(model.inputs[0], model.layers[-2].output)(images_of(8)).numpy()
    dense = 3 * values[-2]
    model.set_weights([*values[:-2], dense, -(features @ dense).mean(axis=0)])
    return model


def graph_network(image: Any) -> Any:
    """The same in TensorFlow's own operators, with other weights: logits [N, 3]."""
    tf = frozen.import_tensorflow()
    rng = np.random.default_rng(5)
    conv, depthwise, dense = (
        rng.normal(0, scale, shape).astype(np.float32)
        for scale, shape in ((0.4, (3, 3, 3, 8)), (0.4, (3, 3, 8, 1)), (4.0, (8, 3)))
    )
    x = tf.nn.relu6(tf.nn.conv2d(image, conv, 2, "SAME"))
    x = tf.nn.relu6(tf.nn.depthwise_conv2d(x, depthwise, [1, 1, 1, 1], "SAME"))
    return tf.matmul(tf.reduce_mean(x, [1, 2]), dense)


def images_of(count: int, seed: int = 0) -> np.ndarray:
    """[count, SIZE, SIZE, 3] float32 in [0, 1], each of its own colour with noise on it."""
    rng = np.random.default_rng(seed)
    noise = rng.random((count, SIZE, SIZE, 3))
    return (0.7 * rng.random((count, 1, 1, 3)) + 0.3 * noise).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


def of_keras(model: Any) -> Function:
    return lambda nhwc: model(nhwc, training=False).numpy()  # type: ignore[no-any-return]


def of_graph(nhwc: np.ndarray) -> np.ndarray:
    return softmax(graph_network(frozen.import_tensorflow().constant(nhwc)).numpy())


def make_keras_file(folder: Path) -> tuple[Path, Function]:
    model = network()
    model.save(folder / "model.keras")
    return folder / "model.keras", of_keras(model)


def make_h5_file(folder: Path) -> tuple[Path, Function]:
    model = network()
    model.save(folder / "model.h5")
    return folder / "model.h5", of_keras(model)


def make_keras_export(folder: Path) -> tuple[Path, Function]:
    model = network()
    model.export(str(folder / "exported"), verbose=False)
    return folder / "exported", of_keras(model)


def make_called_module(folder: Path) -> tuple[Path, Function]:
    tf = frozen.import_tensorflow()

    class Module(tf.Module):  # type: ignore[misc, name-defined]
        @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
        def __call__(self, image: Any) -> Any:
            return tf.nn.softmax(graph_network(image))

    tf.saved_model.save(Module(), str(folder / "module"))
    return folder / "module", of_graph


def make_predict_signature(folder: Path) -> tuple[Path, Function]:
    tf = frozen.import_tensorflow()
    module = tf.Module()
    module.bias = tf.Variable([0.5, 0.0, -0.5])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
    def predict(image: Any) -> Any:
        logits = graph_network(image) + module.bias
        return {"scores": tf.nn.softmax(logits), "class": tf.argmax(logits, 1)}

    tf.saved_model.save(module, str(folder / "module"), signatures={"predict": predict})
    bias = np.float32([0.5, 0.0, -0.5])
    return folder / "module", lambda nhwc: softmax(np.log(of_graph(nhwc)) + bias)


def tf1_graph(session: Any, tf: Any) -> tuple[Any, Any]:
    v1 = tf.compat.v1
    image = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="image")
    extra = v1.get_variable("extra", initializer=np.float32([0.5, 0, -0.5]), use_resource=False)
    keep = v1.placeholder_with_default(np.float32(1), [], name="keep")
    logits = v1.placeholder_with_default(graph_network(image) + keep * extra, [None, 3], name="fed")
    output = tf.nn.softmax(logits, name="scores")
    session.run(v1.global_variables_initializer())
    return image, output


def with_extra(nhwc: np.ndarray) -> np.ndarray:
    return softmax(np.log(of_graph(nhwc)) + np.float32([0.5, 0, -0.5]))


def make_tf1_saved_model(folder: Path) -> tuple[Path, Function]:
    tf = frozen.import_tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        image, output = tf1_graph(session, tf)
        v1.saved_model.simple_save(session, str(folder / "module"), {"image": image}, {"scores": output})
    return folder / "module", with_extra


def make_tf1_frozen(folder: Path) -> tuple[Path, Function]:
    tf = frozen.import_tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        tf1_graph(session, tf)
        constants = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["scores"])
    (folder / "graph.pb").write_bytes(constants.SerializeToString())
    return folder / "graph.pb", with_extra


def make_own_frozen(folder: Path) -> tuple[Path, Function]:
    """A bundle's own frozen graph."""
    whole = frozen.attach_head(frozen.freeze(graph_network, SIZE, SIZE), np.eye(3), np.zeros(3))
    (folder / "frozen_graph.pb").write_bytes(frozen.serialize(whole))
    return folder / "frozen_graph.pb", of_graph


MAKERS: list[Maker] = [
    make_keras_file, make_h5_file, make_keras_export, make_called_module, make_predict_signature,
    make_tf1_saved_model, make_tf1_frozen, make_own_frozen,
]  # fmt: skip


def write_graph(path: Path, function: Callable[[Any], Any], *, dtype: str = "float32") -> Path:
    """A frozen graph as TensorFlow 1 writes it: a placeholder ``image``, and what the function gives."""
    tf = frozen.import_tensorflow()
    with tf.Graph().as_default() as graph:
        function(tf.compat.v1.placeholder(dtype, [None, SIZE, SIZE, 3], name="image"))
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def outputs_of(foreign: Foreign, nhwc: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities and logits of both graphs."""
    results = {}
    for name, tensor in (("frozen", "final_result"), ("frozen logits", "logits")):
        with frozen.FrozenGraph(foreign.frozen, tensor) as session:
            results[name] = session.probabilities(nhwc)
    model = onnx_graph.serialize(foreign.onnx)
    results["onnx"] = tf_modules.run_onnx(model, nhwc, "probabilities")
    results["onnx logits"] = tf_modules.run_onnx(model, nhwc, "logits")
    return results


def shape_of(value: Any) -> list[Any]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def random_network(rng: np.random.Generator, classes: int) -> Any:
    keras = import_keras()
    keras.utils.set_random_seed(int(rng.integers(1000)))
    layers = keras.layers
    x = image = layers.Input((SIZE, SIZE, 3))
    for _ in range(int(rng.integers(1, 4))):
        width = int(rng.choice([4, 8]))
        x = layers.Conv2D(
            width, 3, strides=int(rng.choice([1, 2])), padding=str(rng.choice(["same", "valid"]))
        )(x)
        branch = rng.integers(4)
        if branch == 0:
            x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
        elif branch == 1:
            x = layers.MaxPooling2D(2)(layers.BatchNormalization()(x))
        elif branch == 2:
            x = layers.Concatenate()([x, layers.AveragePooling2D(3, strides=1, padding="same")(x)])
        x = layers.Activation(str(rng.choice(["relu", "relu6", "swish", "tanh", "elu"])))(x)
    x = layers.Flatten()(x) if rng.integers(2) else layers.GlobalMaxPooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))
