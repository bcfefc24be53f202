"""Feature vectors by Keras Applications name, with weights that the tests put where Keras keeps them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_modules

from legoclf.retrain.keras_applications import application_name, default_size

# Keras reads $KERAS_HOME when it is imported, so each test has a process of its own.
_SAVE_WEIGHTS = """
import sys
from legoclf.convert.foreign_keras import import_keras
keras = import_keras()
keras.utils.set_random_seed(int(sys.argv[2]))
make = keras.applications.MobileNet
network = make(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3))
network.save(sys.argv[1])  # the layout of HDF5 that Keras publishes its weights in
import numpy as np
image = keras.applications.mobilenet.preprocess_input(np.load(sys.argv[3]) * 255.0)
np.save(sys.argv[4], network(image, training=False).numpy())
"""
_LOAD = """
import sys
from pathlib import Path
from legoclf.cli import main
from legoclf.errors import LegoclfError
from legoclf.retrain.feature_vector import load_feature_vector
try:
    vector = load_feature_vector(sys.argv[1], cache_dir=Path(sys.argv[2]))
    print(vector.name, vector.source, vector.identity, vector.onnx_path)
except LegoclfError as error:
    print("error:", error)
"""


IMAGES = tf_modules.images(3, 224, 224)


def run_python(code: str, home: Path, *arguments: str | Path) -> str:
    """Standard output of a process with that $KERAS_HOME and no way out to the network."""
    closed = "http://127.0.0.1:9"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KERAS_HOME": str(home), "https_proxy": closed, "http_proxy": closed},
    ).stdout


def keep_weights(home: Path, seed: int) -> np.ndarray:
    """Save MobileNet's weights, random ones, as Keras' download would; its features of IMAGES."""
    file = home / "models" / "mobilenet_1_0_224_tf_no_top.h5"
    file.parent.mkdir(parents=True, exist_ok=True)
    image, features = home / "image.npy", home / "features.npy"
    np.save(image, IMAGES)
    run_python(_SAVE_WEIGHTS, home, file, str(seed), image, features)
    return np.load(features)


def test_a_network_of_keras_applications_is_given_images_in_its_own_scaling(tmp_path: Path) -> None:
    home = tmp_path / "keras"
    expected = keep_weights(home, seed=1)
    name, source, identity, onnx = run_python(_LOAD, home, "mobilenet", tmp_path / "cache").split()
    assert (name, source) == ("MobileNet", "keras")
    features = tf_modules.run_onnx(onnx, IMAGES, "features")
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())

    keep_weights(home, seed=2)
    other = run_python(_LOAD, home, "MobileNet", tmp_path / "cache").split()
    assert other[2] != identity, "other weights must not find the features of these"


def test_weights_that_cannot_be_fetched_are_asked_for_in_one_line(tmp_path: Path) -> None:
    said = run_python(_LOAD, tmp_path, "EfficientNetB0", tmp_path / "cache")
    assert len(said.splitlines()) == 1
    assert "EfficientNetB0: its weights cannot be fetched" in said
    assert "~/.keras/models" in said


def test_mobilenet_v2_is_the_embedded_copy_and_needs_no_keras_folder(tmp_path: Path) -> None:
    cache = tf_modules.embedded_vector().onnx_path.parents[2]
    assert run_python(_LOAD, tmp_path, "MobileNetV2", cache).split()[:2] == [
        "mobilenet_v2_100_224",
        "embedded",
    ]


@pytest.mark.parametrize(
    ("handle", "name"),
    [("efficientnetv2b0", "EfficientNetV2B0"), ("ResNet50", "ResNet50"), ("resnet", None), ("./x", None)],
)
def test_names_are_known_in_any_case(handle: str, name: str | None) -> None:
    assert application_name(handle) == name


def test_networks_get_images_of_the_size_they_were_trained_at() -> None:
    assert [default_size(name) for name in ("ResNet50", "Xception", "EfficientNetB3")] == [224, 299, 300]
