"""What a start costs with a network of the size people train: work to the first answer, and memory."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_bundle

pytest.importorskip("onnx", reason="the graph is made with onnx")
pytest.importorskip("onnxruntime", reason="the runtime under test is ONNX Runtime")

from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.preprocess import preprocess
from legoclf.session import OnnxRuntimeSession

SIZE = 224
CLASSES = 20

#: Output channels and stride of each depthwise-separable convolution: MobileNet's (Howard and others, 2017,
#: table 1), 3.2 million weights and 570 million multiplications; MobileNetV2 has 2.2 and 300.
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)

PROGRAM = """
import json, sys, time
import numpy as np
from legoclf.bundle import Bundle
from legoclf.jetson.frame import Frame
from legoclf.jetson.runtime import open_runtime
frame = Frame(np.full((480, 640, 3), 77, np.uint8), "BGR", 0, 0.0)
with open_runtime(Bundle.open(sys.argv[1]), "auto") as runtime:
    runtime.classify(frame)
    seconds = time.process_time()
    for _ in range(20):
        runtime.classify(frame)
# Not getrusage: its maximum is the parent's, where that was larger.
[peak_kib] = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([seconds, peak_kib / 1024, "tensorflow" in sys.modules]))
"""


def graph():
    """The network, with weights that keep the size of what passes through it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.RandomState(3)
    nodes, weights = [], []

    def add(operator, inputs, shape=None, gain=1.0, **attributes):
        name = "{}_{}".format(operator.lower(), len(nodes))
        inputs = list(inputs)
        if shape is not None:
            values = rng.normal(0, np.sqrt(gain / np.prod(shape[1:])), shape).astype(np.float32)
            weights.append(numpy_helper.from_array(values, name + "_weights"))
            inputs.append(name + "_weights")
        nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def convolve(source, channels, inputs, side, stride, group=1):
        shape, padding = (channels, inputs // group, side, side), [side // 2] * 4
        made = add("Conv", [source], shape, 2.0, strides=[stride] * 2, pads=padding, group=group)
        return add("Relu", [made])

    last, channels = convolve("input", 32, 3, 3, 2), 32
    for outputs, stride in BLOCKS:
        last = convolve(last, channels, channels, 3, stride, channels)
        last, channels = convolve(last, outputs, channels, 1, 1), outputs
    last = add("Flatten", [add("GlobalAveragePool", [last])])
    last = add("Gemm", [last], (CLASSES, channels), transB=1)
    nodes[-1].output[0] = "logits"
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1))
    value = helper.make_tensor_value_info
    outputs = [value(name, TensorProto.FLOAT, [1, CLASSES]) for name in ("logits", "probabilities")]
    made = helper.make_graph(
        nodes, "large", [value("input", TensorProto.FLOAT, [1, 3, SIZE, SIZE])], outputs, weights
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    contract = unit_range_contract(SIZE, SIZE)
    images = tiny_bundle.golden_images()
    tensors = np.stack([preprocess(image, contract) for image in images])
    with BundleWriter(str(tmp_path_factory.mktemp("large") / "large.bundle")) as writer:
        with open(writer.file("model.onnx"), "wb") as stream:
            stream.write(graph())
        with OnnxRuntimeSession(writer.file("model.onnx")) as session:
            answers = session.run(tensors)
        arrays = {"image_{}".format(index): image for index, image in enumerate(images)}
        arrays.update(answers, tensors=tensors, **tiny_bundle.BOUNDS)
        np.savez_compressed(writer.file("golden.npz"), **arrays)
        return writer.finish(tiny_bundle.labels(CLASSES), contract, {}, {}).path


def test_the_first_answer_takes_two_seconds_of_the_processor_and_memory_stays_below_250_mb(bundle):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, bundle],
        cwd=os.path.dirname(bundle),  # in the checkout, ./legoclf hides what is installed
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds, peak_mb, has_tensorflow = json.loads(done.stdout.decode())
    # Of the processor, of which others that are at work take none. It is 0.6 s and 140 MB.
    assert seconds < 2.0
    assert peak_mb < 250
    assert not has_tensorflow
