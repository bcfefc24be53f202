"""The bundle of :mod:`tiny_bundle` with a third graph output, ``novelty``, and a rule for it.

The novelty of an image is 20 times the squared distance of its mean colour, in [0, 1], to the nearest of the
labels' colours: 0 for these themselves, and 3.8 for STRANGE, which the network calls "red" all the same. For
Python 3.6 as for today's; needs onnx and onnxruntime.
"""

from typing import Any

import numpy as np
import tiny_bundle

from legoclf.bundle import Bundle
from legoclf.bundle_writer import BundleWriter
from legoclf.novelty import NoveltyRule

#: FP16 is exact to 0.05 there.
RULE = NoveltyRule("distance", 1.0, 0.05)

#: RGB: a dark red, far from every label's colour and nearest to red by far.
STRANGE = (120, 10, 10)


def strange(height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [height, width, 3], RGB: an image of no label's colour."""
    return np.full((height, width, 3), STRANGE, np.uint8)


def with_novelty(model: bytes, shape: Any = None) -> bytes:
    """A graph of :mod:`tiny_bundle`, serialised, with the output ``novelty``, [N].

    Args:
        shape: of the output instead, to which it is repeated; a wrong one.
    """
    import onnx
    from onnx import helper, numpy_helper

    made = onnx.load_from_string(model)
    size = made.graph.input[0].type.tensor_type.shape.dim[0]
    count = size.dim_param or size.dim_value
    name = "novelty" if shape is None else "novelty_one"
    made.graph.node.extend(
        [
            helper.make_node("Mul", ["features", "features"], ["squares"], "squares"),
            helper.make_node("MatMul", ["squares", "sharpness"], ["length_column"], "length"),
            helper.make_node("ReduceMax", ["logits"], ["nearest_column"], "nearest", axes=[1], keepdims=1),
            helper.make_node("Sub", ["length_column", "nearest_column"], ["novelty_column"], "subtract"),
            helper.make_node("Reshape", ["novelty_column", "flat"], [name], "flatten_novelty"),
        ]
    )
    sharpness = np.full((4, 1), 20, np.float32)
    made.graph.initializer.extend(
        [numpy_helper.from_array(sharpness, "sharpness"), numpy_helper.from_array(np.array([-1]), "flat")]
    )
    if shape is not None:
        made.graph.node.append(helper.make_node("Expand", [name, "shape"], ["novelty"], "expand"))
        made.graph.initializer.append(numpy_helper.from_array(np.array(shape), "shape"))
    dims = [count] if shape is None else shape
    made.graph.output.append(helper.make_tensor_value_info("novelty", onnx.TensorProto.FLOAT, dims))
    onnx.checker.check_model(made)
    serialized: bytes = made.SerializeToString()
    return serialized


def write_bundle(path: Any, rule: Any = RULE, shape: Any = None) -> str:
    """Write a bundle of four labels; as :func:`tiny_bundle.write_bundle`, but for the novelty.

    Args:
        rule: of model.json; None for none.
        shape: as of :func:`with_novelty`.
    """
    plain = Bundle.open(tiny_bundle.write_bundle(path))
    with BundleWriter(plain.path) as writer:
        for name in plain.files:
            with open(plain.file(name), "rb") as stream:
                content = stream.read()
            with open(writer.file(name), "wb") as stream:
                stream.write(with_novelty(content, shape) if name.endswith(".onnx") else content)
        writer.finish(plain.labels, plain.contract, {}, {}, rule)
    return plain.path
