"""Other batch sizes, and the form that jetson-inference loads."""

import json
from typing import Any

import numpy as np
import pytest
import random_graphs

from legoclf.convert import flavours, fp16
from legoclf.errors import LegoclfError, UsageError

onnx = pytest.importorskip("onnx")

SEEDS = range(9)


def shape(value: Any) -> list[Any]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def shapes(model: Any) -> dict[str, list[Any]]:
    graph = model.graph
    return {value.name: shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}


def normalised(batch: np.ndarray) -> np.ndarray:
    """What imageNet feeds: less the mean of ImageNet, over its standard deviation."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    result: np.ndarray = (batch - mean[:, None, None]) / std[:, None, None]
    return result.astype(np.float32)


def with_operator(operator: str, batch: int | str = "batch") -> Any:
    """The first of the random classifiers that has a node of such an operator."""
    models = (random_graphs.random_classifier(seed, batch) for seed in range(50))
    return next(model for model in models if any(node.op_type == operator for node in model.graph.node))


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_fixed_batch_says_the_same(seed: int, size: int) -> None:
    model = random_graphs.random_classifier(seed)
    fixed = flavours.with_batch(model, size)
    assert {each[0] for each in shapes(fixed).values()} == {size}
    batch = np.stack(random_graphs.tensors(size))
    # Another size may be added up in another order: a rounding of FP32.
    np.testing.assert_allclose(random_graphs.run(fixed, batch), random_graphs.run(model, batch), atol=1e-6)


@pytest.mark.parametrize("old", [1, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_fixed_batch_becomes_free(seed: int, old: int) -> None:
    fixed = random_graphs.random_classifier(seed, batch=old)
    free = flavours.with_batch(fixed, None)
    assert {each[0] for each in shapes(free).values()} == {"batch"}
    tensors = random_graphs.tensors(5)
    expected = np.concatenate(
        [random_graphs.run(fixed, np.stack(tensors[i : i + old])) for i in range(4 - old)]
    )
    got = random_graphs.run(free, np.stack(tensors))
    np.testing.assert_allclose(got[old - 1], expected[old - 1], atol=1e-6)


def test_all_tensors_are_typed_anew() -> None:
    model = random_graphs.random_classifier(0)
    fixed = flavours.with_batch(model, 4)
    assert set(shapes(fixed)) == set(shapes(model))
    onnx.checker.check_model(fixed, full_check=True)


def test_a_squeeze_without_axes_keeps_a_batch_of_one() -> None:
    model = with_operator("Squeeze")
    squeeze = next(node for node in model.graph.node if node.op_type == "Squeeze")
    expected = random_graphs.run(model, np.stack(random_graphs.tensors(1)))
    del squeeze.input[1:]
    fixed = flavours.with_batch(model, 1)
    got = random_graphs.run(fixed, np.stack(random_graphs.tensors(1)))
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_shape_that_two_reshapes_share_is_changed_for_those_of_the_batch_only() -> None:
    # The shape [1, C] of the features and, as it happens, of a row of weights.
    model = with_operator("Reshape", batch=1)
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    reshape = next(node for node in model.graph.node if node.op_type == "Reshape")
    channels = shapes(model)[reshape.output[0]][1]
    row = onnx.numpy_helper.from_array(np.full(channels, 2, np.float32), "row")
    model.graph.initializer.append(row)
    extra = [
        onnx.helper.make_node("Reshape", ["row", reshape.input[1]], ["row2"], name="row2"),
        onnx.helper.make_node("Mul", [reshape.output[0], "row2"], ["doubled"], name="doubled"),
    ]
    place = list(model.graph.node).index(gemm)
    gemm.input[0] = "doubled"
    nodes = [*model.graph.node[:place], *extra, *model.graph.node[place:]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    tensors = np.stack(random_graphs.tensors(3))
    expected = np.concatenate([random_graphs.run(model, tensors[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(
        random_graphs.run(flavours.with_batch(model, None), tensors), expected, atol=1e-6
    )


def test_a_reshape_that_cuts_images_up_is_named() -> None:
    # [-1, 1] of [batch, C, 1, 1] makes C rows of each image.
    model = with_operator("Reshape")
    reshape = next(node for node in model.graph.node if node.op_type == "Reshape")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 1]), "cut"))
    place = list(model.graph.node).index(reshape)
    cut = onnx.helper.make_node("Reshape", [reshape.input[0], "cut"], ["rows"], name="rows")
    nodes = [*model.graph.node[:place], cut]
    del model.graph.node[:], model.graph.output[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.output.append(onnx.helper.make_tensor_value_info("rows", 1, [None, 1]))
    with pytest.raises(LegoclfError, match=r"node rows \(Reshape\) fixes the batch size"):
        flavours.with_batch(model, None)


def test_a_node_that_fixes_the_batch_is_named() -> None:
    model = random_graphs.random_classifier(0, batch=2)
    pool = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    target = onnx.numpy_helper.from_array(np.array([1, 2, -1, 1]), "target")
    model.graph.initializer.append(target)
    place = list(model.graph.node).index(pool)
    odd = onnx.helper.make_node("Reshape", [pool.input[0], "target"], ["odd"], name="odd")
    pool.input[0] = "odd"
    nodes = [*model.graph.node[:place], odd]
    del model.graph.node[:], model.graph.output[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.output.append(onnx.helper.make_tensor_value_info("odd", 1, [1, 2, None, 1]))
    with pytest.raises(LegoclfError, match=r"node odd \(Reshape\) fixes the batch size"):
        flavours.with_batch(model, None)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_below_one_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match=f"batch {size}: expected 1 or more"):
        flavours.with_batch(random_graphs.random_classifier(0), size)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_jetson_inference_flavour_undoes_the_normalisation(seed: int) -> None:
    model = random_graphs.random_classifier(seed)
    flavour = flavours.jetson_inference_flavour(model)
    batch = np.stack(random_graphs.tensors(1, seed))
    got = random_graphs.run(flavour, normalised(batch), "output_0")
    np.testing.assert_allclose(got, random_graphs.run(model, batch), atol=1e-5)


def test_the_jetson_inference_flavour_has_one_input_and_one_output_for_one_image() -> None:
    model = random_graphs.random_classifier(3)
    flavour = flavours.jetson_inference_flavour(model)
    classes = shape(model.graph.output[-1])[1]
    assert [(each.name, shape(each)) for each in flavour.graph.input] == [("input_0", [1, 3, 12, 12])]
    assert [(each.name, shape(each)) for each in flavour.graph.output] == [("output_0", [1, classes])]
    onnx.checker.check_model(flavour, full_check=True)


def test_the_normalisation_is_undone_in_fp32_in_the_fp16_form_too() -> None:
    flavour = flavours.jetson_inference_flavour(random_graphs.random_classifier(3))
    halves = fp16.half_nodes(flavour)
    assert not {"undo_imagenet_std", "undo_imagenet_mean", "Mul_0", "Sub_1"} & halves


def test_metadata_travels_with_every_flavour() -> None:
    model = random_graphs.random_classifier(0)
    before = random_graphs.metadata(model)
    assert random_graphs.metadata(flavours.with_batch(model, 2)) == before
    flavour = random_graphs.metadata(flavours.jetson_inference_flavour(model))
    normalisation = json.loads(flavour.pop("input_normalisation"))
    assert flavour == before
    assert normalisation == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def test_the_model_given_stays_as_it_is() -> None:
    model = random_graphs.random_classifier(1)
    before = model.SerializeToString(deterministic=True)
    flavours.with_batch(model, 1)
    flavours.jetson_inference_flavour(model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_graph_that_is_no_classifier_is_refused() -> None:
    model = random_graphs.random_classifier(0)
    del model.graph.output[-1:]
    with pytest.raises(LegoclfError, match="no output 'probabilities' but logits"):
        flavours.jetson_inference_flavour(model)


def test_the_embedded_classifier_fits_jetson_inference(onnx_classifier: bytes, photos: np.ndarray) -> None:
    model = onnx.load_from_string(onnx_classifier)
    flavour = flavours.jetson_inference_flavour(model)
    one = np.ascontiguousarray(photos[2:3].transpose(0, 3, 1, 2))
    got = random_graphs.run(flavour, normalised(one), "output_0")
    # Undoing the normalisation rounds the image in FP32; ReLU6 and 52 layers later.
    np.testing.assert_allclose(got, random_graphs.run(model, one), atol=1e-4)
    assert not any(":" in name for node in flavour.graph.node for name in (*node.input, *node.output))


def test_the_exported_classifier_is_plain(onnx_classifier: bytes) -> None:
    graph = onnx.load_from_string(onnx_classifier).graph
    operators = [node.op_type for node in graph.node]
    assert not set(operators) & {"BatchNormalization", "Transpose", "Pad", "Identity", "Cast", "Constant"}
    assert operators.count("Conv") == 52
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    bounds = {
        tuple(float(constants[used]) for used in node.input[1:])
        for node in graph.node
        if node.op_type == "Clip"
    }
    assert bounds == {(0.0, 6.0)}
