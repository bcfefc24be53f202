"""The layers of a node, as the parsers of every release split and name them."""

from types import SimpleNamespace

import fake_tensorrt
import few_nodes
import pytest
import tiny_onnx

onnx = pytest.importorskip("onnx", reason="the models are made with the onnx package")

from legoclf.convert.engine.onnx_reader import summarise  # noqa: E402
from legoclf.jetson.tensorrt_api import TensorRTApi  # noqa: E402
from legoclf.jetson.tensorrt_layers import float_outputs, layers_of  # noqa: E402

FLAGGED = ["8.2.1", "8.5.2", "8.6.1", "10.3.0", "10.13.3", "10.16.0"]


def parsed(release, model):
    """A build of a model, and the layers of its network."""
    build = TensorRTApi(fake_tensorrt.fake_tensorrt(release)).new_build(False)
    assert build.parse(model) == []
    network = build._network
    return build, [network.get_layer(index) for index in range(network.num_layers)]


def names_of(release, model, *names):
    """The names of the layers of each node."""
    layers = parsed(release, model)[1]
    found = layers_of(layers, summarise(model).outputs, names)
    return {name: [layer.name for layer in its] for name, its in found.items()}


def gemm(name="head", weight="weight", after=()):
    """A Gemm ``name`` with a bias from ``x`` to ``logits``, and nodes after it."""
    node = onnx.helper.make_node("Gemm", ["x", weight, "bias"], ["logits"], name)
    last = [] if after else [onnx.helper.make_node("Identity", ["logits"], ["y"], "copy")]
    weights = {weight: few_nodes.zeros(3, 3), "bias": few_nodes.zeros(3), "other": few_nodes.zeros(3)}
    return few_nodes.graph([node, *after, *last], ["N", 3], weights)


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("8.2.1", ["(Unnamed Layer* 0) [Shuffle]", "head", "(Unnamed Layer* 2) [Shuffle]"]),
        ("8.5.2", ["head", "(Unnamed Layer* 3) [Shuffle]", "(Unnamed Layer* 4) [ElementWise]"]),
        ("8.6.1", ["head", "(Unnamed Layer* 3) [Shuffle]", "(Unnamed Layer* 4) [ElementWise]"]),
        ("10.3.0", ["head", "ONNXTRT_Broadcast", "head_0"]),
    ],
)
def test_all_layers_of_a_dense_layer_are_found(release, expected):
    assert names_of(release, gemm(), "head") == {"head": expected}


@pytest.mark.parametrize("release", ["8.5.2", "10.3.0"])
def test_they_are_found_where_a_weight_has_the_nodes_name(release):
    """Its constant takes the name, and the product gets another."""
    found = names_of(release, gemm(weight="head"), "head")["head"]
    assert (found[0], len(found)) == ("head_0", 3)


@pytest.mark.parametrize("release", FLAGGED)
def test_nodes_of_names_like_it_are_left_alone(release):
    nodes = [
        onnx.helper.make_node("Mul", ["logits", "other"], ["more"], "head_bias_other"),
        onnx.helper.make_node("Add", ["more", "other"], ["y"], "head_0"),
    ]
    found = names_of(release, gemm(weight="head", after=nodes), "head", "head_bias_other", "head_0")
    of_head = set(found["head"])
    assert not of_head & set(found["head_bias_other"])
    assert not of_head & set(found["head_0"])
    assert len(of_head) == 3


@pytest.mark.parametrize("release", FLAGGED)
@pytest.mark.parametrize("made", [{}, {"quantized": True}])
def test_every_layer_that_computes_is_of_one_node(release, made):
    model = tiny_onnx.classifier(**made)
    build, layers = parsed(release, model)
    outputs = summarise(model).outputs
    found = layers_of(layers, outputs, [name for name, _ in outputs])
    places = sorted(layers.index(layer) for its in found.values() for layer in its)
    assert places == [at for at, layer in enumerate(layers) if layer.type.name != "CONSTANT"]
    assert build.keep_fp32([name for name, _ in outputs], outputs) == []


@pytest.mark.parametrize("release", FLAGGED)
def test_a_constant_that_two_nodes_share_ties_them_not(release):
    nodes = [
        onnx.helper.make_node("Add", ["x", "other"], ["a"], "first"),
        onnx.helper.make_node("Mul", ["a", "other"], ["y"], "second"),
    ]
    found = names_of(release, few_nodes.graph(nodes, ["N", 3], {"other": few_nodes.zeros(1, 3)}), "first")
    assert found == {"first": ["first"]}


def test_a_node_whose_tensor_another_renames_is_found_by_its_layers_name():
    """As where an Identity after it adds no layer: its output is nobody's, by the name in the ONNX."""
    layers = parsed("8.5.2", gemm())[1]
    found = layers_of(layers, [("head", ["gone"]), ("copy", ["logits"])], ["head"])
    assert [layer.name for layer in found["head"]][:1] == ["head"]
    assert len(found["head"]) == 3


@pytest.mark.parametrize("release", FLAGGED)
def test_all_of_them_stay_fp32_and_no_other(release):
    model = tiny_onnx.classifier()
    build, layers = parsed(release, model)
    assert build.keep_fp32(["dense", "elsewhere"], summarise(model).outputs) == ["elsewhere"]
    kept = [layer for layer in layers if layer.precision_is_set]
    assert kept == layers_of(layers, summarise(model).outputs, ["dense"])["dense"]
    assert len(kept) > 1


def test_what_holds_no_floats_keeps_its_type():
    class Shape:
        num_outputs = 2

        def get_output(self, index):
            dtype = SimpleNamespace(name=("INT32", "HALF")[index])
            return SimpleNamespace(name="shape", dtype=dtype)

    assert float_outputs(Shape()) == [1]
