"""`legoclf verify` compares the novelty of the graphs, and what is unknown by it."""

import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import novel_graphs
import numpy as np
import pytest
from novel_graphs import KINDS
from small_bundle import changed_onnx, with_file

from legoclf.bundle import Bundle
from legoclf.cli import main
from legoclf.convert.flavours import jetson_inference_flavour
from legoclf.convert.verify import Verification, verify
from legoclf.convert.verify_compare import Comparison, Example
from legoclf.convert.verify_gates import GOLDEN, Limits
from legoclf.convert.verify_paths import Answer, bundle_paths
from legoclf.errors import LegoclfError
from legoclf.novelty import NoveltyRule

#: Above all that the graphs of these tests give.
HIGH = 1000.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that no test may change."""
    path = tmp_path_factory.mktemp("bundle") / "novel.bundle"
    return novel_graphs.write_bundle(path, novel_graphs.distance(), HIGH)


@pytest.fixture
def bundle(whole: Bundle, tmp_path: Path) -> Bundle:
    """A copy of it."""
    return Bundle.open(shutil.copytree(whole.path, str(tmp_path / "novel.bundle")))


def failed(result: Verification) -> list[str]:
    return [check.name for check in result.checks if not check.passed]


def of(result: Verification, name: str) -> Comparison:
    return next(one for one in result.sets[GOLDEN] if one.path.name == name)


def moved(by: float) -> Callable[[Any], None]:
    """A change to an ONNX graph: so much is added to the novelty."""
    from onnx import helper, numpy_helper

    def change(model: Any) -> None:
        last = next(node for node in model.graph.node if "novelty" in node.output)
        last.output[0] = "novelty.exact"
        model.graph.initializer.append(numpy_helper.from_array(np.array([by], np.float32), "more"))
        model.graph.node.append(helper.make_node("Add", ["novelty.exact", "more"], ["novelty"], "moved"))

    return change


@pytest.mark.parametrize("kind", KINDS)
def test_the_graphs_of_a_whole_bundle_agree(kind: str, tmp_path: Path) -> None:
    bundle = novel_graphs.write_bundle(tmp_path / "novel.bundle", novel_graphs.of_kind(kind), HIGH)
    result = verify(bundle)
    assert failed(result) == []
    differences = {one.path.name: one.novelty for one in result.sets[GOLDEN]}
    assert set(differences) == {"ONNX", "frozen graph", "SavedModel", "FP16 ONNX"}
    assert None not in differences.values()


def test_fp16_differs_by_its_rounding_and_fp32_hardly(whole: Bundle) -> None:
    result = verify(whole)
    rounded, exact = of(result, "FP16 ONNX").novelty, of(result, "frozen graph").novelty
    assert rounded is not None
    assert rounded > 1e-5
    assert exact is not None
    assert exact < 1e-5


def test_a_novelty_that_is_another_fails_where_it_is_fp32(bundle: Bundle) -> None:
    # The others are compared with model.onnx: it is they that differ from it.
    result = verify(changed_onnx(bundle, "model.onnx", moved(0.01)))
    assert failed(result) == [
        "golden novelty, ONNX",
        "frozen graph against ONNX: novelty",
        "SavedModel against ONNX: novelty",
    ]


def test_a_graph_that_has_lost_its_novelty_fails(bundle: Bundle) -> None:
    def lose(model: Any) -> None:
        (output,) = [value for value in model.graph.output if value.name == "novelty"]
        model.graph.output.remove(output)

    result = verify(changed_onnx(bundle, "model.onnx", lose))
    assert failed(result) == ["golden novelty, ONNX"]
    assert result.checks[-1].passed


def test_a_golden_file_without_novelty_is_not_judged_by_it(bundle: Bundle) -> None:
    with np.load(bundle.file("golden.npz")) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "novelty"}
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    result = verify(with_file(bundle, "golden.npz", content.getvalue()))
    assert failed(result) == []
    assert "golden novelty, ONNX" not in [check.name for check in result.checks]


def test_limits_decide(whole: Bundle) -> None:
    strict = dataclasses.replace(Limits(), max_novelty_difference={"fp32": 1e-4, "fp16": 1e-7, "int8": 1})
    assert failed(verify(whole, limits=strict)) == ["FP16 ONNX against ONNX: novelty"]


def test_an_image_that_is_unknown_to_one_graph_alone_counts_as_changed(bundle: Bundle) -> None:
    result = verify(changed_onnx(bundle, "model.fp16.onnx", moved(2 * HIGH)))
    assert of(result, "FP16 ONNX").changed == of(result, "FP16 ONNX").images > 0
    assert failed(result) == ["FP16 ONNX against ONNX: top-1 changed"]


def test_without_a_rule_no_image_is_unknown(bundle: Bundle) -> None:
    changed = changed_onnx(bundle, "model.fp16.onnx", moved(2 * HIGH))
    assert failed(verify(changed._replace(novelty=None))) == []


def test_what_is_unknown_to_all_graphs_has_not_changed(whole: Bundle) -> None:
    result = verify(whole._replace(novelty=NoveltyRule("distance", -1.0, 0.05)))
    assert [one.changed for one in result.sets[GOLDEN]] == [0, 0, 0, 0]


def compared(whole: Bundle, novelty: Any, wanted: Any, rule: NoveltyRule | None) -> Comparison:
    """Four images of the class 0, named right by both."""
    probabilities = np.tile(np.float32([0.8, 0.2]), (4, 1))
    batch: list[Example] = [(np.zeros((3, 1, 1), np.float32), 0)] * 4
    comparison = Comparison(bundle_paths(whole)[1], rule)
    comparison.add(batch, Answer(None, probabilities, novelty), Answer(None, probabilities, wanted))
    return comparison


def test_what_is_unknown_is_not_named_right(whole: Bundle) -> None:
    rule = NoveltyRule("distance", 0.5, 0.05)
    novelty, wanted = np.float32([0.1, 0.9, 0.9, 0.1]), np.float32([0.1, 0.1, 0.9, 0.1])
    found = compared(whole, novelty, wanted, rule)
    assert (found.changed, found.right, found.reference_right) == (1, 2, 3)


def test_of_a_novelty_beyond_1_the_difference_is_a_share(whole: Bundle) -> None:
    """A rounding of the features moves a far image in proportion."""
    novelty, wanted = np.float32([0.6, 22, 0.5, 1]), np.float32([0.5, 20, 0.5, 1])
    assert compared(whole, novelty, wanted, None).novelty == pytest.approx(0.1)


def test_a_novelty_that_is_no_number_counts_as_changed_without_a_rule_too(whole: Bundle) -> None:
    novelty = np.float32([0.1, np.nan, 0.1, 0.1])
    found = compared(whole, novelty, np.full(4, 0.1, np.float32), None)
    assert (found.changed, found.novelty) == (1, np.inf)


@pytest.mark.parametrize("place", [0, 1])
def test_a_graph_without_novelty_is_judged_by_its_labels(whole: Bundle, place: int) -> None:
    given: list[Any] = [np.ones(4, np.float32), None]
    found = compared(whole, given[place], given[1 - place], NoveltyRule("distance", 0.5, 0.05))
    assert (found.changed, found.novelty, found.right, found.reference_right) == (0, None, 4, 4)


def test_a_novelty_of_another_shape_is_one_line_that_names_the_file(whole: Bundle) -> None:
    with pytest.raises(LegoclfError, match=r"frozen_graph\.pb: .*'novelty' is \[4, 2\] for 4 images"):
        compared(whole, np.zeros((4, 2), np.float32), np.zeros(4, np.float32), None)


def test_the_jetson_inference_flavour_has_none_and_passes(bundle: Bundle) -> None:
    import onnx

    flavour = jetson_inference_flavour(onnx.load(bundle.file("model.onnx")))
    result = verify(with_file(bundle, "model.jetson-inference.onnx", flavour.SerializeToString()))
    assert failed(result) == []
    assert of(result, "jetson-inference ONNX").novelty is None


def test_the_table_tells_it_for_each_graph(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", bundle.path, "--no_store"]) == 0
    head, reference, *rows = capsys.readouterr().out.splitlines()[:5]
    end = head.index("novelty") + len("novelty")
    assert reference.endswith("the reference")
    assert len(reference) == end
    assert all(float(row[end - 8 : end]) < 0.01 for row in rows)


def test_the_object_has_it(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", bundle.path, "--no_store", "--json"])
    graphs = json.loads(capsys.readouterr().out)["graphs"]
    assert graphs[0]["max_novelty_difference"] == 0
    assert all(graph["max_novelty_difference"] < 0.01 for graph in graphs)


def test_a_flag_moves_its_limit(bundle: Bundle) -> None:
    changed = changed_onnx(bundle, "model.onnx", moved(0.01))
    assert main(["verify", changed.path]) == 1
    assert main(["verify", changed.path, "--max_novelty_difference", "fp32=0.1"]) == 0


def test_explain_shows_its_layers(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", bundle.path, "--no_store", "--explain"]) == 0
    assert "novelty.nearest" in capsys.readouterr().out
