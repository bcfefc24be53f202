"""What the conversion tests share: the embedded network, its graphs, and a head on both.

The tests of tests/convert/engine run on Python 3.6 too, and pytest loads this file for them: what needs more
is imported by the fixture that uses it.
"""

from typing import Any, Tuple

import numpy as np
import pytest


@pytest.fixture(scope="session")
def vector() -> Any:
    import tf_modules

    return tf_modules.embedded_vector()


@pytest.fixture(scope="session")
def head(vector: Any) -> Tuple[np.ndarray, np.ndarray]:
    import tf_modules

    return tf_modules.head(vector.feature_size)


@pytest.fixture(scope="session")
def photos() -> np.ndarray:
    import tf_modules

    return tf_modules.images(8, 224, 224)


@pytest.fixture
def classifier(vector: Any, head: Tuple[np.ndarray, np.ndarray]) -> Any:
    """The frozen classifier as a GraphDef, fresh for each test: TensorFlow changes what it imports."""
    from legoclf.convert import frozen

    return frozen.attach_head(frozen.read_frozen(vector.frozen_path), *head)


@pytest.fixture(scope="session")
def onnx_classifier(vector: Any, head: Tuple[np.ndarray, np.ndarray]) -> bytes:
    import onnx

    from legoclf.convert import onnx_graph

    metadata = {"labels": "brick\nplate", "contract": "{}"}
    return onnx_graph.serialize(onnx_graph.attach_onnx_head(onnx.load(vector.onnx_path), *head, metadata))


@pytest.fixture(scope="session")
def classifier_96(onnx_classifier: bytes) -> bytes:
    """The same for 96x96 pixels, a fifth of the work: its convolutions take any size."""
    import onnx

    from legoclf.convert import onnx_graph

    model = onnx.load_from_string(onnx_classifier)
    for size in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        size.dim_value = 96
    del model.graph.value_info[:]
    return onnx_graph.serialize(onnx.shape_inference.infer_shapes(model))


@pytest.fixture(scope="session")
def photos_96() -> np.ndarray:
    import tf_modules

    return tf_modules.images(8, 96, 96)
