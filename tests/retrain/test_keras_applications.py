"""Feature vectors by Keras Applications name, with weights that the tests put where Keras keeps them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_modules

from legoclf.retrain.keras_applications import application_name, default_size

# Keras reads $KERAS_HOME when it is imported: in a process of its own, which is one for all that is asked.
_ASK = """
import json, sys
from pathlib import Path
import numpy as np
from legoclf.convert.foreign_keras import import_keras
from legoclf.errors import LegoclfError
from legoclf.retrain import feature_vector
home, cache, shared = map(Path, sys.argv[1:])
keras = import_keras()

def keep_weights(seed):
    # Random ones, in the layout of HDF5 that Keras publishes its weights in, as its download would.
    keras.utils.set_random_seed(seed)
    make = keras.applications.MobileNet
    network = make(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3))
    network.save(home / "models" / "mobilenet_1_0_224_tf_no_top.h5")
    return network

def ask(handle, cache):
    try:
        vector = feature_vector.load_feature_vector(handle, cache_dir=cache)
    except LegoclfError as error:
        return {"error": str(error)}
    return {"name": vector.name, "source": vector.source, "onnx": str(vector.onnx_path)}

network = keep_weights(1)
image = keras.applications.mobilenet.preprocess_input(np.load(home / "images.npy") * 255.0)
np.save(home / "features.npy", network(image, training=False).numpy())
answers = {"mobilenet": ask("mobilenet", cache)}
contents = [feature_vector._find("mobilenet", None, cache).content]
keep_weights(2)
contents.append(feature_vector._find("MobileNet", None, cache).content)
answers["EfficientNetB0"] = ask("EfficientNetB0", cache)
answers["MobileNetV2"] = ask("MobileNetV2", shared)
(home / "answers.json").write_text(json.dumps({"answers": answers, "contents": contents}))
"""


IMAGES = tf_modules.images(3, 224, 224)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """$KERAS_HOME of a process with no way out to the network; what it was told is in answers.json."""
    folder = tmp_path_factory.mktemp("keras")
    (folder / "models").mkdir()
    np.save(folder / "images.npy", IMAGES)
    converted = tf_modules.embedded_vector().onnx_path.parents[2]
    closed = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-c", _ASK, *map(str, (folder, folder / "cache", converted))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KERAS_HOME": str(folder), "https_proxy": closed, "http_proxy": closed},
    )
    assert done.stdout == ""
    return folder


@pytest.fixture(scope="module")
def told(home: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((home / "answers.json").read_text())
    return record


def test_a_network_of_keras_applications_is_given_images_in_its_own_scaling(
    home: Path, told: dict[str, Any]
) -> None:
    found = told["answers"]["mobilenet"]
    assert (found["name"], found["source"]) == ("MobileNet", "keras")
    expected = np.load(home / "features.npy")
    features = tf_modules.run_onnx(found["onnx"], IMAGES, "features")
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_other_weights_do_not_find_the_features_of_these(told: dict[str, Any]) -> None:
    one, other = told["contents"]
    assert {name for name in one if one[name] != other[name]} == {"weights"}


def test_weights_that_cannot_be_fetched_are_asked_for_in_one_line(told: dict[str, Any]) -> None:
    said = told["answers"]["EfficientNetB0"]["error"]
    assert len(said.splitlines()) == 1
    assert "EfficientNetB0: its weights cannot be fetched" in said
    assert "~/.keras/models" in said


def test_mobilenet_v2_is_the_embedded_copy_and_needs_no_keras_folder(told: dict[str, Any]) -> None:
    found = told["answers"]["MobileNetV2"]
    assert (found["name"], found["source"]) == ("mobilenet_v2_100_224", "embedded")


@pytest.mark.parametrize(
    ("handle", "name"),
    [("efficientnetv2b0", "EfficientNetV2B0"), ("ResNet50", "ResNet50"), ("resnet", None), ("./x", None)],
)
def test_names_are_known_in_any_case(handle: str, name: str | None) -> None:
    assert application_name(handle) == name


def test_networks_get_images_of_the_size_they_were_trained_at() -> None:
    assert [default_size(name) for name in ("ResNet50", "Xception", "EfficientNetB3")] == [224, 299, 300]
