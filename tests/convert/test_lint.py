"""The lint: which devices' parsers take a graph, and the node that is named where one does not."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from legoclf.convert import targets
from legoclf.convert.lint import WHOLE_MODEL, Finding, check, lint, report
from legoclf.convert.targets import TARGETS, find_target
from legoclf.errors import LegoclfError, UsageError

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8
IMAGE = ("n", 4, 8, 8)
# The four that parse with their own types; JetPack 4 and 5 cast INT64 to INT32.
ALL = ("jetpack4", "jetpack5", "jetpack6", "jetpack7", "rtx")
RECENT = ("jetpack6", "jetpack7", "rtx")


def model_of(
    nodes: Sequence[Any],
    *,
    x: tuple[int, Sequence[Any]] = (FLOAT, IMAGE),
    y: tuple[int, Sequence[Any] | None] = (FLOAT, None),
    opset: int = 13,
    ir: int = 7,
    **constants: np.ndarray,
) -> Any:
    """A model from ``x`` to ``y``, each with its type and shape."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", *x)],
        [helper.make_tensor_value_info("y", *y)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def node(operator: str, inputs: str = "x", outputs: str = "y", **attributes: Any) -> Any:
    """A node, named ``the_<operator>``; inputs and outputs are words, ``_`` for one left out."""
    split = [["" if name == "_" else name for name in names.split()] for names in (inputs, outputs)]
    return helper.make_node(operator, *split, name=f"the_{operator}", **attributes)


def layer_normalization() -> Any:
    return model_of([node("LayerNormalization", "x scale")], opset=17, ir=8, scale=np.ones(8, np.float32))


def foreign_domain() -> Any:
    return model_of([node("Relu", "x", "a"), node("FusedConv", "a", "y", domain="com.microsoft")])


def double() -> Any:
    return model_of([node("Relu")], x=(TensorProto.DOUBLE, [1, 4]), y=(TensorProto.DOUBLE, [1, 4]))


def uint8_arithmetic() -> Any:
    return model_of([node("Max", "x x")], x=(UINT8, [1, 4]), y=(UINT8, [1, 4]))


def uint8_image() -> Any:
    return model_of([node("Cast", to=FLOAT)], x=(UINT8, IMAGE))


def uint8_inside() -> Any:
    nodes = [node("Sigmoid", "x", "a"), helper.make_node("Cast", ["a"], ["b"], name="to_uint8", to=UINT8),
             helper.make_node("Cast", ["b"], ["y"], name="back", to=FLOAT)]  # fmt: skip
    return model_of(nodes)


def int64_product() -> Any:
    x = (INT64, [1, 4])
    return model_of([node("MatMul", "x w")], x=x, y=(INT64, [1, 2]), w=np.ones((4, 2), np.int64))


def int64_sum() -> Any:
    return model_of([node("Add", "x x")], x=(INT64, [1, 4]), y=(INT64, [1, 4]))


def wide_int64() -> Any:
    x = (INT64, [1, 4])
    return model_of([node("Add", "x far")], x=x, y=(INT64, [1, 4]), far=np.int64([2**40]))


def int32_maximum() -> Any:
    x = (TensorProto.INT32, [1, 4])
    return model_of([node("ArgMax", axis=1)], x=x, y=(INT64, [1, 1]))


def training_batch_norm() -> Any:
    four = np.ones(4, np.float32)
    normalise = node("BatchNormalization", "x s b m v", "y", training_mode=1)
    return model_of([normalise], opset=15, ir=8, s=four, b=four, m=four, v=four)


def training_dropout() -> Any:
    return model_of([node("Dropout", "x ratio on")], ratio=np.float32(0.5), on=np.array(True))


def body(operator: str = "Add", carried: Sequence[Any] = (1, 4)) -> Any:
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node(operator, ["a", "a"] if operator == "Add" else ["a"], ["b"], name="the_inner"),
        helper.make_node("Identity", ["b"], ["seen"]),
    ]
    inputs = [value("i", INT64, []), value("go", TensorProto.BOOL, []), value("a", FLOAT, [1, 4])]
    outputs = [value("go_on", TensorProto.BOOL, []), value("b", FLOAT, carried), value("seen", FLOAT, [1, 4])]
    return helper.make_graph(nodes, "body", inputs, outputs)


def loop(trips: str = "m", **of_body: Any) -> Any:
    constants = {"m": np.int64(3)} if trips == "m" else {}
    looping = node("Loop", f"{trips} go x", "y stacked", body=body(**of_body))
    return model_of([looping], x=(FLOAT, [1, 4]), go=np.array(True), **constants)


def loop_of_no_fixed_length() -> Any:
    return loop(trips="_")


def loop_with_a_bad_node() -> Any:
    return loop(operator="Det")


def growing_loop() -> Any:
    return loop(carried=(1, 8))


def scan_of_integers() -> Any:
    value = helper.make_tensor_value_info
    inner = helper.make_graph(
        [helper.make_node("Add", ["s", "e"], ["t"]), helper.make_node("Identity", ["t"], ["u"])],
        "body",
        [value("s", INT64, []), value("e", INT64, [])],
        [value("t", INT64, []), value("u", INT64, [])],
    )
    scan = node("Scan", "zero x", "y running", body=inner, num_scan_inputs=1)
    return model_of([scan], x=(INT64, [4]), y=(INT64, []), zero=np.int64(0))


def quantised(zero_point: Any) -> Any:
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
    return model_of(nodes, s=np.float32(0.1), z=zero_point)


def unsigned_quantisation() -> Any:
    return quantised(np.uint8(0))


def asymmetric_quantisation() -> Any:
    return quantised(np.int8(3))


def symmetric_quantisation() -> Any:
    return quantised(np.int8(0))


def pooling_indices() -> Any:
    return model_of([node("MaxPool", "x", "y where", kernel_shape=[2, 2])])


def dilated_pooling() -> Any:
    return model_of([node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2])])


def cubic_resize() -> Any:
    return model_of([node("Resize", "x _ s", mode="cubic")], s=np.float32([1, 1, 2, 2]))


def linear_resize() -> Any:
    return model_of([node("Resize", "x _ s", mode="linear")], s=np.float32([1, 1, 2, 2]))


def adding_scatter() -> Any:
    scatter = node("ScatterND", "x at u", reduction="add")
    shape = (FLOAT, [4, 2])
    return model_of([scatter], x=shape, y=shape, opset=16, ir=8, at=np.int64([[0]]), u=np.ones((1, 2), "f4"))


def computed_axes() -> Any:
    nodes = [node("Cast", "x", "axes", to=INT64), node("Squeeze", "ones axes", "y")]
    return model_of(nodes, x=(FLOAT, [1]), ones=np.ones((1, 1), np.float32))


def computed_weights() -> Any:
    nodes = [node("Mul", "w x", "v"), node("Conv", "x v")]
    return model_of(nodes, x=(FLOAT, [1, 4, 8, 8]), w=np.ones((1, 4, 8, 8), np.float32))


def computed_count() -> Any:
    nodes = [node("Shape", "x", "shape"), node("TopK", "x shape", "y where")]
    return model_of(nodes, x=(FLOAT, [4]))


def old_opset_shapes() -> Any:
    """INT64 shapes, axes, indices and ends: every parser takes these."""
    nodes = [
        node("Slice", "x starts ends axes", "a"),
        node("Reshape", "a shape", "b"),
        node("Gather", "b index", "c", axis=1),
        node("Unsqueeze", "c axes", "d"),
        node("Squeeze", "d axes", "e"),
        node("Expand", "e shape", "f"),
        node("Tile", "f repeats", "y"),
    ]
    axes = np.int64([1])
    return model_of(
        nodes,
        x=(FLOAT, [1, 4]),
        starts=np.int64([0]),
        ends=np.int64([2**63 - 1]),
        axes=axes,
        shape=np.int64([1, 4]),
        index=np.int64([0, 1, 2, 3]),
        repeats=np.int64([1, 1]),
    )


def half_clip() -> Any:
    shape = (TensorProto.FLOAT16, IMAGE)
    return model_of([node("Clip", "x low high")], x=shape, y=shape, low=np.float16(0), high=np.float16(6))


def one_hot_of_doubles() -> Any:
    shapes = {"x": (INT64, [4]), "y": (TensorProto.DOUBLE, [4, 3])}
    return model_of(
        [node("OneHot", "x depth values")], **shapes, depth=np.int64(3), values=np.float64([0, 1])
    )


def ten_opsets_later() -> Any:
    return model_of([node("Relu")], opset=23, ir=11)


#: The model, the node and operator that are to be named first, and the targets that do not take it.
REFUSED: list[tuple[Callable[[], Any], str, str, tuple[str, ...]]] = [
    (ten_opsets_later, WHOLE_MODEL, "opset 23", ALL),
    (foreign_domain, "the_FusedConv", "com.microsoft.FusedConv", ALL),
    (double, "the_Relu", "Relu", ALL),
    (uint8_arithmetic, "the_Max", "Max", ALL),
    (uint8_image, "the_Cast", "Cast", ("jetpack4",)),
    (uint8_inside, "to_uint8", "Cast", ALL),
    (int64_product, "the_MatMul", "MatMul", ALL),
    (wide_int64, "the_Add", "Add", ("jetpack4", "jetpack5")),
    (int32_maximum, "the_ArgMax", "ArgMax", ("jetpack4", "jetpack5")),
    (training_dropout, "the_Dropout", "Dropout", ALL),
    (loop_of_no_fixed_length, "the_Loop", "Loop", ALL),
    (loop_with_a_bad_node, "the_inner", "Det", ALL),
    (growing_loop, "the_Loop", "Loop", ALL),
    (scan_of_integers, "the_Scan", "Scan", ALL),
    (unsigned_quantisation, "the_QuantizeLinear", "QuantizeLinear", ALL),
    (asymmetric_quantisation, "the_QuantizeLinear", "QuantizeLinear", ALL),
    (pooling_indices, "the_MaxPool", "MaxPool", ALL),
    (dilated_pooling, "the_MaxPool", "MaxPool", ALL),
    (cubic_resize, "the_Resize", "Resize", ALL),
    (computed_axes, "the_Squeeze", "Squeeze", ALL),
    (computed_weights, "the_Conv", "Conv", ("jetpack4",)),
    (computed_count, "the_TopK", "TopK", ("jetpack4", "jetpack5")),
    (one_hot_of_doubles, "the_OneHot", "OneHot", ALL),
    (half_clip, "the_Clip", "Clip", ("jetpack4",)),
]

TAKEN = [int64_sum, loop, symmetric_quantisation, linear_resize, old_opset_shapes]


@pytest.mark.parametrize("target", ALL)
@pytest.mark.parametrize(
    ("make", "name", "op", "refusing"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
def test_the_node_that_a_parser_does_not_take_is_named(
    make: Callable[[], Any], name: str, op: str, refusing: tuple[str, ...], target: str
) -> None:
    findings = lint(make(), target)
    if target not in refusing:
        assert findings == []
        return
    assert (findings[0].node, findings[0].op) == (name, op)
    assert findings[0].what
    assert findings[0].mend


@pytest.mark.parametrize("target", ALL)
@pytest.mark.parametrize("make", TAKEN)
def test_what_every_parser_takes_has_no_finding(make: Callable[[], Any], target: str) -> None:
    assert lint(make(), target) == []


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (layer_normalization, "the_LayerNormalization"),
        (training_batch_norm, "the_BatchNormalization"),
        (adding_scatter, "the_ScatterND"),
    ],
)
def test_an_old_parser_is_told_of_the_opset_the_ir_and_the_node(make: Callable[[], Any], name: str) -> None:
    findings = lint(make(), "jetpack4")
    assert [each.op.partition(" ")[0] for each in findings[:2]] == ["opset", "IR"]
    assert [each.node for each in findings] == [WHOLE_MODEL, WHOLE_MODEL, name]


def test_a_newer_parser_takes_what_an_old_one_lacks_and_the_mend_says_so() -> None:
    mend = lint(layer_normalization(), "jetpack4")[-1].mend
    assert "opset 13" in mend
    assert "jetpack6, jetpack7, rtx take it" in mend
    for target in RECENT:
        assert lint(layer_normalization(), target) == []
    for target in RECENT:
        assert [each.node for each in lint(training_batch_norm(), target)] == ["the_BatchNormalization"]


@pytest.mark.parametrize("target", ALL)
def test_every_device_takes_the_embedded_network(target: str, onnx_classifier: bytes) -> None:
    assert lint(onnx.load_from_string(onnx_classifier), target) == []


def test_its_fp16_form_is_for_parsers_that_know_fp16_constants(onnx_classifier: bytes) -> None:
    fp16 = pytest.importorskip("legoclf.convert.fp16")
    half = fp16.to_fp16(onnx.load_from_string(onnx_classifier))
    for target in ALL[1:]:
        assert lint(half, target) == []
    # TensorRT 8.2 would read ReLU6's FP16 bounds as FP32.
    assert {each.op for each in lint(half, "jetpack4")} == {"Clip"}


def test_a_node_without_a_name_is_called_by_its_output() -> None:
    model = foreign_domain()
    model.graph.node[1].ClearField("name")
    assert lint(model, "rtx")[0].node == "y"


def test_check_passes_or_names_the_first_finding_and_their_number() -> None:
    check(int64_sum(), "jetpack4")
    with pytest.raises(LegoclfError) as caught:
        check(unsigned_quantisation(), "jetpack7")
    message = str(caught.value)
    assert message.startswith(
        "jetpack7 does not take the_QuantizeLinear (QuantizeLinear): quantises to UINT8"
    )
    assert "quantise to INT8" in message
    assert "the first of 2 findings" in message
    assert "\n" not in message


def test_the_report_has_a_line_for_each_finding() -> None:
    findings = [Finding("conv_1", "Conv", "is odd", "make it even"), Finding("a", "Det", "is new", "wait")]
    lines = report(findings, "jetpack4").splitlines()
    assert lines == [
        "jetpack4 (JetPack 4.6: TensorRT 8.2.1, opset 13): 2 findings",
        "  conv_1 (Conv): is odd; make it even",
        "  a (Det): is new; wait",
    ]
    assert report(findings[:1], "jetpack4").splitlines()[0].endswith(": 1 finding")
    assert report([], find_target("rtx")) == (
        "rtx (TensorRT for RTX: TensorRT RTX 1.7, opset 20, strongly typed): takes the graph\n"
    )


def test_nodes_of_the_same_finding_share_a_line() -> None:
    findings = [Finding(f"conv_{number}", "Conv", "is odd", "make it even") for number in range(5)]
    assert report(findings, "rtx").splitlines()[1:] == [
        "  conv_0, conv_1, conv_2 and 2 more (Conv): is odd; make it even"
    ]


def test_a_target_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="--target jetpack3: .* jetpack4, jetpack5, jetpack6, jetpack7, rtx"):
        lint(int64_sum(), "jetpack3")


def test_a_graph_that_contradicts_itself_is_refused_in_a_line() -> None:
    model = int64_sum()
    del model.opset_import[:]
    with pytest.raises(LegoclfError, match="contradicts itself: .*No opset import") as caught:
        lint(model, "rtx")
    assert "\n" not in str(caught.value)


# ---- the data


def test_the_table_has_a_row_of_known_types_for_every_target() -> None:
    text = (Path(targets.__file__).parent / "onnx_operators.json").read_text(encoding="utf-8")
    table = json.loads(text)
    known = {"FP32", "FP16", "BF16", "FP8", "INT8", "INT4", "INT32", "INT64", "UINT8", "BOOL"}
    for target in TARGETS.values():
        rows = [row[target.table] for row in table["operators"].values() if target.table in row]
        assert len(rows) > 120
        assert set().union(*rows) <= known
    # One operator a line, so that a change of one reads as a change of one.
    assert all(text.count(f'\n    "{name}": ') == 1 for name in table["operators"])


def test_the_targets_are_those_of_the_device_table() -> None:
    assert tuple(TARGETS) == ALL
    assert [target.opset for target in TARGETS.values()] == [13, 17, 20, 20, 20]
    assert find_target("jetpack5").types("HardSwish") is None
    assert find_target("jetpack5").types("Not") == ("BOOL",)


# ---- NVIDIA's own parser


# Where the parser says yes to what its document says no to: it casts DOUBLE, reads UINT8 zero points as INT8,
# looks at no opset and no carried shape.
STRICTER = (
    double, one_hot_of_doubles, growing_loop, ten_opsets_later, cubic_resize, scan_of_integers,
    unsigned_quantisation,
)  # fmt: skip


@pytest.mark.parametrize("make", [*(row[0] for row in REFUSED), *TAKEN])
def test_tensorrt_for_rtx_agrees(make: Callable[[], Any]) -> None:
    trt = pytest.importorskip("tensorrt_rtx_bindings", exc_type=ImportError)
    logger = trt.Logger(trt.Logger.Severity.INTERNAL_ERROR)
    network = trt.Builder(logger).create_network(0)
    taken = trt.OnnxParser(network, logger).parse(make().SerializeToString())
    assert taken == (lint(make(), "rtx") == [] or make in STRICTER)
