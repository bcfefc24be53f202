"""What the conversion tests share: the embedded network, its graphs, and a head on both."""

from typing import Any

import numpy as np
import pytest
import tf_modules

from legoclf.convert import frozen, onnx_graph
from legoclf.retrain.feature_vector import FeatureVector


@pytest.fixture(scope="session")
def vector() -> FeatureVector:
    return tf_modules.embedded_vector()


@pytest.fixture(scope="session")
def head(vector: FeatureVector) -> tuple[np.ndarray, np.ndarray]:
    return tf_modules.head(vector.feature_size)


@pytest.fixture(scope="session")
def photos() -> np.ndarray:
    return tf_modules.images(8, 224, 224)


@pytest.fixture
def classifier(vector: FeatureVector, head: tuple[np.ndarray, np.ndarray]) -> Any:
    """The frozen classifier as a GraphDef, fresh for each test: TensorFlow changes what it imports."""
    return frozen.attach_head(frozen.read_frozen(vector.frozen_path), *head)


@pytest.fixture(scope="session")
def onnx_classifier(vector: FeatureVector, head: tuple[np.ndarray, np.ndarray]) -> bytes:
    import onnx

    metadata = {"labels": "brick\nplate", "contract": "{}"}
    return onnx_graph.serialize(onnx_graph.attach_onnx_head(onnx.load(vector.onnx_path), *head, metadata))
