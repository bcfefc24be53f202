"""Feature-vector modules of every format that people bring, small, made by the tests that load them."""

import functools
import io
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from shared_folder import held, shared_folder

from legoclf.convert.frozen import import_tensorflow
from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector

SIZE = 32
FEATURES = 6


@functools.cache
def embedded_vector() -> FeatureVector:
    """The embedded module, converted once for all workers (about 15 s)."""
    cache = shared_folder("cache")
    with held(cache):
        return load_feature_vector(None, cache_dir=cache)


def images(count: int, height: int = SIZE, width: int = SIZE, seed: int = 0) -> np.ndarray:
    """[count, height, width, 3] float32 in [0, 1]: noise over a gradient, the first black, the last white."""
    rng = np.random.default_rng(seed)
    gradient = np.linspace(0, 1, width)[None, None, :, None]
    batch = 0.5 * rng.random((count, height, width, 3)) + 0.5 * gradient
    batch[0], batch[-1] = 0.0, 1.0
    return batch.astype(np.float32)


def head(features: int, classes: int = 5, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Weights [features, classes] and bias [classes], float32, of a head that has opinions."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 3 / np.sqrt(features), (features, classes))
    return weights.astype(np.float32), rng.normal(0, 1, classes).astype(np.float32)


def run_onnx(model: str | bytes, nhwc: np.ndarray, output: str) -> np.ndarray:
    """One output of an ONNX model in ONNX Runtime, for images [N, H, W, 3]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run([output], {"input": np.ascontiguousarray(nhwc.transpose(0, 3, 1, 2))})[0]
    return result


def weights_of_modules() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    shapes = {"conv": (3, 3, 3, 4), "depthwise": (3, 3, 4, 1), "project": (1, 1, 4, FEATURES)}
    values = {name: rng.normal(0, 0.4, shape) for name, shape in shapes.items()}
    values |= {"scale": rng.uniform(0.5, 1.5, 4), "offset": rng.normal(0, 0.3, 4)}
    values |= {"mean": rng.normal(0, 0.3, 4), "variance": rng.uniform(0.5, 2, 4)}
    return {name: value.astype(np.float32) for name, value in values.items()}


def network(image: Any, values: Mapping[str, Any], pooled: bool = True) -> Any:
    """Conv, ReLU6, depthwise with batch-norm, ReLU6, 1×1 conv and the mean: MobileNet's pieces."""
    tf = import_tensorflow()
    x = tf.nn.relu6(tf.nn.conv2d(image, values["conv"], 2, "SAME"))
    x = tf.nn.depthwise_conv2d(x, values["depthwise"], [1, 1, 1, 1], "SAME")
    moments = values["mean"], values["variance"], values["offset"], values["scale"]
    x = tf.nn.relu6(tf.nn.batch_normalization(x, *moments, 1e-3))
    x = tf.nn.conv2d(x, values["project"], 1, "SAME")
    return tf.reduce_mean(x, [1, 2]) if pooled else x


def _variables() -> dict[str, Any]:
    tf = import_tensorflow()
    return {name: tf.Variable(value, name=name) for name, value in weights_of_modules().items()}


def reference(nhwc: np.ndarray) -> np.ndarray:
    """What the modules of :func:`save_tf2_module` and :func:`save_tf1_module` give: [N, FEATURES]."""
    result: np.ndarray = network(import_tensorflow().constant(nhwc), weights_of_modules()).numpy()
    return result


def save_tf2_module(folder: Path, size: int | None = SIZE, *, gives: str = "features") -> Path:
    """A TF2 module that is called with images; of any size where ``size`` is None.

    ``gives``: ``features`` [N, D], ``map`` [N, h, w, D], or ``dict`` (a classifier's outputs).
    """
    tf = import_tensorflow()

    class Module(tf.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.values = _variables()

        @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3], tf.float32)])
        def __call__(self, inputs: Any) -> Any:
            features = network(inputs, self.values, pooled=gives != "map")
            return {"logits": features, "softmax": tf.nn.softmax(features)} if gives == "dict" else features

    tf.saved_model.save(Module(), str(folder))
    return folder


def save_training_module(folder: Path) -> Path:
    """A TF2 module for fine-tuning, which must be told whether it trains."""
    tf = import_tensorflow()

    class Module(tf.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.values = _variables()

        @tf.function
        def __call__(self, inputs: Any, training: bool) -> Any:
            return network(inputs, self.values) * (100.0 if training else 1.0)

    module = Module()
    image = tf.TensorSpec([None, None, None, 3], tf.float32)
    for training in (False, True):
        module.__call__.get_concrete_function(image, training=training)
    tf.saved_model.save(module, str(folder))
    return folder


def save_keras_module(folder: Path, nhwc: np.ndarray) -> np.ndarray:
    """A SavedModel as ``keras.Model.export`` writes it; what the model gives for the images."""
    import_tensorflow()
    import keras

    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Input((SIZE, SIZE, 3)),
        keras.layers.Conv2D(4, 3, strides=2, padding="same"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(6.0),
        keras.layers.GlobalAveragePooling2D(),
    ]
    model = keras.Sequential(layers)
    model.export(str(folder), verbose=False)
    result: np.ndarray = model(nhwc, training=False).numpy()
    return result


def save_tf1_module(folder: Path) -> Path:
    """A module in TF1's hub format: no tags, the signature ``default``, reference variables."""
    tf = import_tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        image = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3])
        values = {
            name: v1.get_variable(name, initializer=value, use_resource=False)
            for name, value in weights_of_modules().items()
        }
        output = network(image, values)
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.build_signature_def(
            {"images": v1.saved_model.build_tensor_info(image)},
            {
                "default": v1.saved_model.build_tensor_info(output),
                "layer_1": v1.saved_model.build_tensor_info(output * 2),
            },
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
    # What tells TensorFlow Hub that it is one of its own: format 3.
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return folder


@contextmanager
def served(folder: Path, path: str) -> Iterator[tuple[str, list[str]]]:
    """Serve a module's .tar.gz at ``path``, as tfhub.dev does; its address, and the requests that came."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, arcname=".")
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            found = self.path == f"{path}?tf-hub-format=compressed"
            self.send_response(200 if found else 404)
            self.end_headers()
            if found:
                self.wfile.write(packed.getvalue())

        def log_message(self, *message: object) -> None:
            """Nothing: the test looks at ``requests``."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{path}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def colour_module(folder: Path) -> Path:
    """A feature vector that sees colours and converts in seconds, as a local SavedModel: 32x32 to 16."""
    tf = import_tensorflow()
    kernel = tf.constant(np.random.default_rng(0).normal(0, 2, (3, 3, 3, 16)), tf.float32)

    class Module(tf.Module):  # type: ignore[misc, name-defined]
        @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32)])
        def __call__(self, image: Any) -> Any:
            return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(image, kernel, 4, "VALID")), [1, 2])

    tf.saved_model.save(Module(), str(folder))
    return folder
