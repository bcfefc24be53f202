"""Tiny ONNX classifiers for tests, as a bundle holds them: opset 13, IR 7, input `input`, two outputs.

Works with the onnx of Python 3.6 (1.11) and with today's.
"""

from typing import Any, Dict, List, Optional

import numpy as np

SIZE = 16
CLASSES = 4
CHANNELS = 4


def weights(seed: int = 5, classes: int = CLASSES) -> Dict[str, np.ndarray]:
    """conv [C, 3, 3, 3], conv_bias [C], dense [C, classes], dense_bias [classes]; float32."""
    rng = np.random.RandomState(seed)
    values = {
        "conv": rng.normal(0, 0.5, (CHANNELS, 3, 3, 3)),
        "conv_bias": rng.normal(0, 0.3, CHANNELS),
        "dense": rng.normal(0, 2.0, (CHANNELS, classes)),
        "dense_bias": rng.normal(0, 0.3, classes),
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


def classifier(
    batch: Optional[int] = 1,
    half: bool = False,
    quantized: bool = False,
    opset: int = 13,
    scale: float = 1.0,
    seed: int = 5,
    classes: int = CLASSES,
    metadata: Optional[Dict[str, str]] = None,
) -> bytes:
    """Conv, Clip(0, 6), mean over the image, Gemm (`logits`), Softmax (`probabilities`).

    Args:
        batch: images at once; None leaves the dimension free, named `N`.
        half: weights and compute FP16 up to the mean, FP32 outside and after it, as model.fp16.onnx.
        quantized: INT8 quantise/dequantise pairs on the convolution's input and weights, as model.int8.onnx.
        opset: of the default domain.
        scale: multiplies the convolution's weights; 1e6 overflows FP16.
        seed, classes: of :func:`weights`.
        metadata: metadata_props.

    Returns:
        the serialised model; input `input` [batch, 3, 16, 16] float32.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    values = weights(seed, classes)
    values["conv"] = values["conv"] * np.float32(scale)
    inner = np.float16 if half else np.float32
    # Cast to half saturates nowhere: a weight above 65504 becomes infinite, as a converter would make it.
    with np.errstate(over="ignore"):
        stored = {name: values[name].astype(inner) for name in ("conv", "conv_bias")}
    stored.update(dense=values["dense"], dense_bias=values["dense_bias"])
    stored.update(lowest=np.array(0, inner), highest=np.array(6, inner))

    nodes: List[Any] = []
    image, kernel = "input", "conv"
    if half:
        nodes.append(helper.make_node("Cast", ["input"], ["input_half"], "to_half", to=TensorProto.FLOAT16))
        image = "input_half"
    if quantized:
        del stored["conv"]
        stored.update(_quantized(values["conv"]))
        nodes.append(
            helper.make_node("QuantizeLinear", [image, "image_scale", "zero"], ["image_q"], "quantize")
        )
        pair = ["image_q", "image_scale", "zero"], ["image_dq"]
        nodes.append(helper.make_node("DequantizeLinear", *pair, name="dequantize"))
        pair = ["conv_q", "conv_scale", "conv_zero"], ["conv_dq"]
        nodes.append(helper.make_node("DequantizeLinear", *pair, name="dequantize_weights", axis=0))
        image, kernel = "image_dq", "conv_dq"
    nodes += [
        helper.make_node("Conv", [image, kernel, "conv_bias"], ["conv_out"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["conv_out", "lowest", "highest"], ["clip_out"], "relu6"),
        helper.make_node("GlobalAveragePool", ["clip_out"], ["pool_out"], "pool"),
    ]
    pooled = "pool_out"
    if half:
        nodes.append(helper.make_node("Cast", ["pool_out"], ["pool_float"], "to_float", to=TensorProto.FLOAT))
        pooled = "pool_float"
    nodes += [
        helper.make_node("Flatten", [pooled], ["features"], "flatten"),
        helper.make_node("Gemm", ["features", "dense", "dense_bias"], ["logits"], "dense"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    size = "N" if batch is None else batch
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [size, 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, classes])
            for name in ("logits", "probabilities")
        ],
        [numpy_helper.from_array(value, name) for name, value in sorted(stored.items())],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="tiny_onnx"
    )
    model.ir_version = 7
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


def images(count: int = 1, seed: int = 0) -> np.ndarray:
    """[count, 3, 16, 16] float32 in [0, 1], each image of another brightness."""
    rng = np.random.RandomState(seed)
    batch = rng.uniform(0, 1, (count, 3, SIZE, SIZE)) * np.linspace(1, 0.3, count)[:, None, None, None]
    return batch.astype(np.float32)


def run(model: bytes, batch: np.ndarray) -> Dict[str, np.ndarray]:
    """Every output of a model in ONNX Runtime for [N, 3, 16, 16] float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: batch})))


def _quantized(kernel: np.ndarray) -> Dict[str, np.ndarray]:
    """Symmetric INT8 of a kernel, one scale an output channel, and of an image in [0, 1]."""
    scale = np.abs(kernel).reshape(len(kernel), -1).max(axis=1) / 127
    rounded = np.clip(np.round(kernel / scale[:, None, None, None]), -127, 127)
    return {
        "conv_q": rounded.astype(np.int8),
        "conv_scale": scale.astype(np.float32),
        "conv_zero": np.zeros(len(kernel), np.int8),
        "image_scale": np.array(1 / 127, np.float32),
        "zero": np.array(0, np.int8),
    }
