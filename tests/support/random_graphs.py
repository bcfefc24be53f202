"""Small classifiers of MobileNet's pieces in random arrangements, the same for the same seed."""

from typing import Any

import numpy as np

SIZE = 12


class _Graph:
    """Nodes and weights as they come; every tensor is named after the node that makes it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output or name], name=name, **attributes))
        return output or name

    def conv(self, x: str, channels: int, made: int, kernel: int, group: int = 1) -> str:
        index = len(self.nodes)
        fan = channels // group * kernel * kernel
        weights = self.rng.normal(0, np.sqrt(2 / fan), (made, channels // group, kernel, kernel))
        names = [
            self.constant(f"Conv_{index}.weight", weights.astype(np.float32)),
            self.constant(f"Conv_{index}.bias", self.rng.normal(0, 0.3, made).astype(np.float32)),
        ]
        pad = kernel // 2
        return self.node("Conv", [x, *names], pads=[pad] * 4, kernel_shape=[kernel] * 2, group=group)

    def block(self, x: str, channels: int) -> tuple[str, int]:
        """One of: convolution with ReLU6, depthwise with ReLU6, inverted residual with Add."""
        kind = self.rng.integers(3)
        if kind == 0:
            made = int(self.rng.integers(3, 9))
            kernel = int(self.rng.choice([1, 3]))
            return self.node("Clip", [self.conv(x, channels, made, kernel), "zero", "six"]), made
        wide = self.node("Clip", [self.conv(x, channels, channels, 3, group=channels), "zero", "six"])
        if kind == 1:
            return wide, channels
        return self.node("Add", [x, self.conv(wide, channels, channels, 1)]), channels


def random_classifier(seed: int, batch: int | str = "batch") -> Any:
    """``input`` [batch, 3, 12, 12] to ``logits`` and ``probabilities``: opset 13, IR 7, with metadata."""
    from onnx import checker, helper, shape_inference

    rng = np.random.default_rng(seed)
    graph = _Graph(rng)
    doubled = graph.node("Mul", ["input", graph.constant("two", np.float32(2))])
    x, channels = graph.node("Sub", [doubled, graph.constant("one", np.float32(1))]), 3
    for _ in range(rng.integers(2, 6)):
        x, channels = graph.block(x, channels)
    x = graph.node("GlobalAveragePool", [x])
    flattening = rng.integers(3)
    if flattening == 0:
        x = graph.node("Squeeze", [x, graph.constant("axes", np.array([2, 3]))])
    elif flattening == 1:
        fixed = batch if isinstance(batch, int) else -1
        x = graph.node("Reshape", [x, graph.constant("shape", np.array([fixed, channels]))])
    else:
        x = graph.node("Flatten", [x])
    classes = int(rng.integers(2, 12))
    head = rng.normal(0, 1, (channels, classes)).astype(np.float32)
    names = [graph.constant("weight", head), graph.constant("bias", np.zeros(classes, np.float32))]
    logits = graph.node("Gemm", [x, *names], "logits")
    graph.node("Softmax", [logits], "probabilities", axis=-1)
    made = helper.make_graph(
        graph.nodes,
        "random",
        [helper.make_tensor_value_info("input", 1, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, 1, [batch, classes]) for name in ("logits", "probabilities")],
        graph.weights,
    )
    model = helper.make_model(made, ir_version=7, opset_imports=[helper.make_opsetid("", 13)])
    helper.set_model_props(model, {"input_contract": "{}", "labels": "[]"})
    model = shape_inference.infer_shapes(model, strict_mode=True)
    checker.check_model(model, full_check=True)
    return model


def with_cancellation(model: Any, offset: float = 2000.0) -> tuple[Any, list[str]]:
    """The model with two convolutions before its pooling that add the offset and take it off; their names.

    FP16 holds 2000 to the nearest 1: nothing overflows, and little is left of what was added to it.
    """
    from onnx import checker, helper, numpy_helper, shape_inference

    changed = type(model)()
    changed.CopyFrom(model)
    nodes = list(changed.graph.node)
    pool = next(node for node in nodes if node.op_type == "GlobalAveragePool")
    channels = next(
        value.type.tensor_type.shape.dim[1].dim_value
        for value in changed.graph.value_info
        if value.name == pool.input[0]
    )
    pair, x = [], pool.input[0]
    for name, bias in (("add_offset", offset), ("take_offset", -offset)):
        same = np.eye(channels, dtype=np.float32)[:, :, None, None]
        for role, values in (("weight", same), ("bias", np.full(channels, bias, np.float32))):
            changed.graph.initializer.append(numpy_helper.from_array(values, f"{name}.{role}"))
        inputs = [x, f"{name}.weight", f"{name}.bias"]
        pair.append(helper.make_node("Conv", inputs, [name], name=name, kernel_shape=[1, 1]))
        x = name
    pool.input[0] = x
    place = nodes.index(pool)
    del changed.graph.node[:]
    changed.graph.node.extend([*nodes[:place], *pair, *nodes[place:]])
    changed = shape_inference.infer_shapes(changed, strict_mode=True)
    checker.check_model(changed, full_check=True)
    return changed, [node.name for node in pair]


def tensors(count: int, seed: int = 0, size: int = SIZE) -> list[np.ndarray]:
    """float32 [3, size, size] each, in [0, 1]."""
    rng = np.random.default_rng(seed)
    return list(rng.random((count, 3, size, size), np.float32))


def run(model: Any, batch: np.ndarray, output: str = "probabilities") -> np.ndarray:
    """One output of a model in ONNX Runtime, for float32 [N, 3, H, W]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run([output], {model.graph.input[0].name: batch})[0]
    return result


def metadata(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}
