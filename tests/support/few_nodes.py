"""An ONNX graph of a few nodes, for tests of what is read from such files. For Python 3.6 too; needs onnx."""

from typing import Any, Dict, List

import numpy as np


def graph(nodes: List[Any], dims: Any, weights: Dict[str, np.ndarray], domain: str = "") -> bytes:
    """``x`` to ``y``, float32, opset 13; ``domain`` is one of the nodes' besides ONNX's own."""
    from onnx import TensorProto, helper, numpy_helper

    made = helper.make_graph(
        nodes,
        "few",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 13)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    serialised: bytes = helper.make_model(made, ir_version=7, opset_imports=opsets).SerializeToString()
    return serialised


def zeros(*shape: int) -> np.ndarray:
    """float32."""
    return np.zeros(shape, np.float32)
