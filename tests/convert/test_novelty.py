"""The output `novelty`: what it must be in NumPy, and that every graph gives that."""

from pathlib import Path
from typing import Any

import novel_graphs
import numpy as np
import pytest
import random_graphs
from novel_graphs import HEAD, IMAGES, KINDS, TENSORS, classifier, expected, of_kind

from legoclf.convert import frozen, lint, onnx_graph, saved_model
from legoclf.convert.graph_def import duplicate
from legoclf.convert.novelty import Novelty, novelty_of
from legoclf.convert.targets import TARGETS
from legoclf.errors import LegoclfError, UsageError

pytest.importorskip("onnx")


def run_frozen(graph: Any, name: str) -> np.ndarray:
    tf = frozen.import_tensorflow()
    with tf.Graph().as_default() as imported, tf.compat.v1.Session(graph=imported) as session:
        tf.import_graph_def(duplicate(graph), name="")
        result: np.ndarray = session.run(f"{name}:0", {"input:0": IMAGES})
    return result


# NumPy


def plane(prototypes: list[list[float]], residual_scale: float = 0.0) -> Novelty:
    """Of three features the first two are looked at; the third lies off the subspace of training images."""
    return Novelty(
        "distance", np.zeros(3), np.eye(3)[:, :2], np.array(prototypes), np.eye(3)[:, :2], residual_scale
    )


def of(novelty: Novelty, *features: list[float]) -> np.ndarray:
    return novelty.of(np.array(features, np.float32), np.zeros((len(features), 1), np.float32))


def test_the_distance_is_that_to_the_nearest_prototype() -> None:
    found = of(plane([[0, 0], [10, 0]]), [0, 0, 0], [3, 4, 0], [10, 1, 0])
    np.testing.assert_allclose(found, [0, 5, 1], atol=1e-6)
    assert found.dtype == np.float32


def test_what_lies_off_the_subspace_counts_by_its_scale() -> None:
    np.testing.assert_allclose(of(plane([[0, 0]], 2.0), [0, 0, 1], [3, 0, 2]), [2, 5], atol=1e-6)


def test_what_lies_off_the_subspace_counts_for_nothing_without_a_scale() -> None:
    np.testing.assert_allclose(of(plane([[0, 0]]), [0, 0, 7]), [0], atol=1e-6)


def test_the_centre_is_taken_off_first() -> None:
    novelty = Novelty("distance", np.ones(2), np.eye(2), np.zeros((1, 2)), np.eye(2)[:, :1], 1.0)
    np.testing.assert_allclose(of(novelty, [1, 1]), [0], atol=1e-6)


def test_energy_is_the_negative_log_of_the_sum_of_exponentials() -> None:
    logits = np.float32([[1, 2, 3], [-5, 0, 0.5]])
    found = Novelty("energy").of(np.zeros((2, 1), np.float32), logits)
    np.testing.assert_allclose(found, -np.log(np.exp(logits.astype(float)).sum(axis=1)), rtol=1e-6)
    assert found.dtype == np.float32


def test_energy_of_large_logits_is_finite() -> None:
    logits = np.float32([[1000, 0], [-1000, -1000]])
    found = Novelty("energy").of(np.zeros((2, 1), np.float32), logits)
    np.testing.assert_allclose(found, [-1000, 1000 - np.log(2)], rtol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"centre": None}, "novelty by distance lacks its centre"),
        ({"centre": np.zeros(3)}, r"needs centre \[D\].* got \[3\], \[6, 4\], \[5, 4\] and \[6, 2\]"),
        ({"prototypes": np.eye(5)}, r"got \[6\], \[6, 4\], \[5, 5\] and"),
        ({"basis": np.ones((5, 2))}, r"\[5, 4\] and \[5, 2\]"),
        ({"projection": np.zeros(4)}, r"projection is \[4\]: expected finite numbers in 2 dimensions"),
        ({"projection": np.full((6, 4), np.nan)}, r"projection is \[6, 4\]: expected finite numbers"),
        ({"prototypes": np.zeros((0, 4))}, r"prototypes is \[0, 4\]: expected finite numbers"),
        ({"residual_scale": np.nan}, "residual_scale is nan: expected 0 or more"),
        ({"residual_scale": -1.0}, "residual_scale is -1.0: expected 0 or more"),
        ({"kind": "energy"}, "novelty by energy takes no centre"),
        ({"kind": "guess"}, "novelty 'guess': expected one of distance, energy"),
    ],
)
def test_what_does_not_fit_is_refused(arrays: dict[str, Any], message: str) -> None:
    names = ("centre", "projection", "prototypes", "basis")
    whole = {"kind": "distance", **dict(zip(names, novel_graphs.distance().arrays(), strict=True))}
    with pytest.raises(LegoclfError, match=message):
        Novelty(**{**whole, **arrays})


# The graphs


@pytest.mark.parametrize("kind", KINDS)
def test_the_images_of_these_tests_differ_in_novelty(kind: str) -> None:
    assert np.ptp(expected(of_kind(kind))) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_frozen_graph_gives_what_numpy_gives(kind: str) -> None:
    graph = frozen.attach_head(novel_graphs.features(), *HEAD, novelty=of_kind(kind))
    got = run_frozen(graph, "novelty")
    assert got.shape == (len(IMAGES),)
    np.testing.assert_allclose(got, expected(of_kind(kind)), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_onnx_graph_gives_what_numpy_gives(kind: str) -> None:
    got = random_graphs.run(novel_graphs.classifier(of_kind(kind)), TENSORS, "novelty")
    assert got.shape == (len(IMAGES),)
    np.testing.assert_allclose(got, expected(of_kind(kind)), atol=1e-5)


def test_without_a_residual_the_graphs_have_none_of_its_nodes_and_agree() -> None:
    novelty = novel_graphs.distance(residual_scale=0.0)
    graph, model = frozen.attach_head(novel_graphs.features(), *HEAD, novelty=novelty), classifier(novelty)
    assert not any("residual" in node.name for node in (*graph.node, *model.graph.node))
    np.testing.assert_allclose(run_frozen(graph, "novelty"), expected(novelty), atol=1e-5)
    np.testing.assert_allclose(random_graphs.run(model, TENSORS, "novelty"), expected(novelty), atol=1e-5)


def test_without_novelty_the_graphs_have_none_of_its_nodes() -> None:
    graph = frozen.attach_head(novel_graphs.features(), *HEAD)
    model = novel_graphs.classifier(None)
    assert not any("novelty" in node.name for node in graph.node)
    assert [value.name for value in model.graph.output] == ["logits", "probabilities"]
    assert [node.name for node in model.graph.node][-2:] == ["head", "softmax"]


@pytest.mark.parametrize("name", ["logits", "probabilities"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_other_outputs_stay_as_they_are(kind: str, name: str) -> None:
    with_it, without = (novel_graphs.classifier(each) for each in (of_kind(kind), None))
    # Another graph may be added up in another order: a rounding of FP32.
    np.testing.assert_allclose(
        random_graphs.run(with_it, TENSORS, name), random_graphs.run(without, TENSORS, name), atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_equal_novelties_give_equal_bytes(kind: str) -> None:
    def both() -> tuple[bytes, bytes]:
        graph = frozen.attach_head(novel_graphs.features(), *HEAD, novelty=of_kind(kind))
        return frozen.serialize(graph), onnx_graph.serialize(novel_graphs.classifier(of_kind(kind)))

    assert both() == both()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_to_the_frozen_graph_stands_under_head_but_for_the_output(kind: str) -> None:
    graph = frozen.attach_head(novel_graphs.features(), *HEAD, novelty=of_kind(kind))
    scopes = {node.name.partition("/")[0] for node in graph.node}
    own = {"input", "Placeholder", "feature_vector", "features", "head", "logits", "final_result"}
    assert scopes == own | {"novelty"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_device_takes_its_operators(kind: str, target: str) -> None:
    assert lint.lint(novel_graphs.classifier(of_kind(kind)), target) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_onnx_graph_stays_plain(kind: str) -> None:
    operators = {node.op_type for node in novel_graphs.classifier(of_kind(kind)).graph.node}
    assert not operators & {"Transpose", "Identity", "Cast", "Constant", "Reshape"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_tensors_of_the_onnx_graph_are_typed(kind: str) -> None:
    graph = novel_graphs.classifier(of_kind(kind)).graph
    typed = {value.name for value in (*graph.value_info, *graph.output)}
    assert {made for node in graph.node for made in node.output} <= typed
    assert [size.dim_param for size in graph.output[-1].type.tensor_type.shape.dim] == ["batch"]


@pytest.mark.parametrize("novelty", [*map(of_kind, KINDS), novel_graphs.distance(residual_scale=0.0), None])
def test_it_is_read_back_from_the_onnx_graph(novelty: Novelty | None) -> None:
    model = classifier(novelty)
    again = novelty_of(model)
    assert onnx_graph.serialize(classifier(again)) == onnx_graph.serialize(model)


def test_a_novelty_of_other_features_is_refused() -> None:
    seven = novel_graphs.distance(7)
    message = "novelty takes 7 features; this feature vector gives 6"
    with pytest.raises(LegoclfError, match=message):
        frozen.attach_head(novel_graphs.features(), *HEAD, novelty=seven)
    with pytest.raises(LegoclfError, match=message):
        novel_graphs.classifier(seven)


def test_the_softmax_cannot_have_its_name() -> None:
    with pytest.raises(UsageError, match="one of the graph's own names"):
        frozen.check_final_tensor_name("novelty")


@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_model_gives_it_beside_the_prediction(kind: str, tmp_path: Path) -> None:
    tf = frozen.import_tensorflow()
    graph = frozen.attach_head(novel_graphs.features(), *HEAD, novelty=of_kind(kind))
    saved_model.write_saved_model(graph, tmp_path)
    loaded = tf.saved_model.load(str(tmp_path))
    signature = loaded.signatures["serving_default"]
    assert signature.structured_outputs["novelty"].shape.as_list() == [None]
    got = signature(image=tf.constant(IMAGES))
    assert set(got) == {"prediction", "novelty"}
    np.testing.assert_allclose(got["novelty"], expected(of_kind(kind)), atol=1e-5)
