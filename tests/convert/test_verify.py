"""Every graph of a bundle is run and judged; what differs is found, what is damaged is one clear line."""

import dataclasses
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_bundle
from small_bundle import changed_onnx, scale_weights, with_file

from legoclf.bundle import Bundle
from legoclf.convert.flavours import jetson_inference_flavour
from legoclf.convert.verify import Verification, verify
from legoclf.convert.verify_compare import Comparison, Example
from legoclf.convert.verify_gates import GOLDEN, HELD_OUT, Limits, allowed_images, parse_limit
from legoclf.convert.verify_images import held_out_images
from legoclf.convert.verify_paths import Answer, bundle_paths, in_pieces
from legoclf.errors import BundleError, LegoclfError, UsageError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that no test may change."""
    return small_bundle.write_bundle(tmp_path_factory.mktemp("bundle") / "small.bundle")


@pytest.fixture
def bundle(whole: Bundle, tmp_path: Path) -> Bundle:
    """A copy of it."""
    return Bundle.open(shutil.copytree(whole.path, str(tmp_path / "small.bundle")))


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle.paint(tmp_path_factory.mktemp("data") / "colours")


def failed(result: Verification) -> list[str]:
    return [check.name for check in result.checks if not check.passed]


def of(result: Verification, name: str, image_set: str = GOLDEN) -> Comparison:
    return next(one for one in result.sets[image_set] if one.path.name == name)


def test_all_graphs_of_a_whole_bundle_agree(whole: Bundle) -> None:
    result = verify(whole)
    assert [one.path.name for one in result.sets[GOLDEN]] == [
        "ONNX",
        "frozen graph",
        "SavedModel",
        "FP16 ONNX",
    ]
    assert failed(result) == []


def test_fp16_differs_by_its_rounding_and_fp32_hardly(whole: Bundle) -> None:
    result = verify(whole)
    # FP16 has 11 bits: an error of 1e-4 and more; FP32 has 24.
    assert of(result, "FP16 ONNX").probability > 1e-4
    assert of(result, "frozen graph").probability < 1e-6


def test_held_out_images_are_those_of_the_test_split_and_give_the_accuracy(
    whole: Bundle, colours: Path
) -> None:
    from legoclf.classify import classify, count_right, find_sources
    from legoclf.data.folder import scan_folder

    held_out = held_out_images(whole, str(colours))
    expected = scan_folder(str(colours), **small_bundle.SPLIT).by_split("test")
    assert [path for path, _ in held_out.items] == [item.path for item in expected]
    reference = of(verify(whole, held_out), "ONNX", HELD_OUT)
    sources = find_sources([str(colours)], whole.labels)
    named = [
        one for one in classify(whole, sources, 1) if one.source.path in {item.path for item in expected}
    ]
    assert (reference.right, reference.known) == count_right(named)
    assert reference.known == len(expected)


def test_the_accuracy_of_a_graph_is_its_own(bundle: Bundle, colours: Path) -> None:
    """Its classes are turned around: where the reference is right, this graph is wrong."""

    def turn(model: Any) -> None:
        from onnx import numpy_helper

        for constant in model.graph.initializer:
            if constant.name in ("head.weight", "head.bias"):
                values = numpy_helper.to_array(constant)
                constant.CopyFrom(numpy_helper.from_array(np.roll(values, 1, axis=-1), constant.name))

    changed = changed_onnx(bundle, "model.int8.onnx", turn, source="model.onnx")
    held_out = held_out_images(changed, str(colours), "all")
    result = verify(changed, held_out)
    reference, turned = of(result, "ONNX", HELD_OUT), of(result, "INT8 ONNX", HELD_OUT)
    assert turned.images == turned.changed == 30
    assert turned.reference_right == reference.right > 25
    assert turned.right <= 30 - reference.right
    assert "INT8 ONNX against ONNX, held-out: accuracy lost" in failed(result)


def test_without_the_settings_of_the_split_every_image_is_held_out_and_that_is_said(
    bundle: Bundle, colours: Path
) -> None:
    held_out = held_out_images(bundle._replace(provenance={}), str(colours))
    assert len(held_out.items) == 30
    assert "all 30 images" in held_out.notes[0]


def test_a_class_folder_that_is_no_label_counts_for_agreement_alone(bundle: Bundle, colours: Path) -> None:
    labels = ["blue", "other", "red"]
    held_out = held_out_images(bundle._replace(labels=labels), str(colours), "all")
    assert [truth for _, truth in held_out.items] == [0] * 10 + [None] * 10 + [2] * 10
    assert "no label of the bundle: 'green'" in held_out.notes[0]


def test_a_folder_of_other_classes_is_refused(bundle: Bundle, colours: Path) -> None:
    with pytest.raises(LegoclfError, match=r"no class folder bears a label .*folders 'blue'.*labels 'a'"):
        held_out_images(bundle._replace(labels=["a", "b", "c"]), str(colours))


def test_an_image_that_cannot_be_read_is_left_out_and_named(bundle: Bundle, tmp_path: Path) -> None:
    folder = small_bundle.paint(tmp_path / "own")
    content = (folder / "red" / "3.png").read_bytes()
    (folder / "red" / "3.png").write_bytes(content[: len(content) // 2])
    held_out = held_out_images(bundle, str(folder), "all")
    assert verify(bundle, held_out).sets[HELD_OUT][0].images == 29
    assert [Path(error.path).name for error in held_out.skipped] == ["3.png"]


def test_a_scaled_weight_fails_the_fp16_graph_alone(bundle: Bundle) -> None:
    result = verify(changed_onnx(bundle, "model.fp16.onnx", scale_weights("Conv_2", 1.3)))
    assert result.failed_files() == ["model.fp16.onnx"]
    assert "FP16 ONNX against ONNX: probability" in failed(result)


def test_what_overflows_in_fp16_is_caught(bundle: Bundle) -> None:
    """Sums near 1e5 in the last convolution, taken back by the head: FP32 has room, FP16 has not."""
    from legoclf.convert.fp16 import to_fp16

    large = changed_onnx(bundle, "model.onnx", scale_weights("Conv_4", 2e5 / 4))
    large = changed_onnx(large, "model.onnx", scale_weights("head", 4 / 2e5))
    large = with_file(large, "model.fp16.onnx", to_fp16(read(large, "model.onnx")).SerializeToString())
    result = verify(large)
    assert of(result, "FP16 ONNX").probability == np.inf
    assert "FP16 ONNX against ONNX: top-1 changed" in failed(result)


def read(bundle: Bundle, name: str) -> Any:
    import onnx

    return onnx.load(bundle.file(name))


def fix_batch(model: Any) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]


def test_a_graph_of_batch_1_runs_image_by_image(bundle: Bundle) -> None:
    fixed = changed_onnx(bundle, "model.onnx", fix_batch)
    assert failed(verify(fixed)) == []


@pytest.mark.parametrize(("smallest", "largest"), [(1, 1), (1, 2), (2, 2), (4, 4), (None, None)])
def test_pieces_give_what_the_whole_gives(smallest: int | None, largest: int | None) -> None:
    sizes = []

    def run(piece: np.ndarray) -> list[np.ndarray]:
        sizes.append(len(piece))
        return [piece + 1, piece * 2]

    tensors = np.arange(5, dtype=np.float32)[:, None]
    added, doubled = in_pieces(run, tensors, smallest, largest)
    np.testing.assert_array_equal(added, tensors + 1)
    np.testing.assert_array_equal(doubled, tensors * 2)
    assert all((smallest or 1) <= size <= (largest or 5) for size in sizes)


def test_the_jetson_inference_flavour_gets_normalised_images(bundle: Bundle) -> None:
    name = "model.jetson-inference.onnx"
    flavour = jetson_inference_flavour(read(bundle, "model.onnx"))
    result = verify(with_file(bundle, name, flavour.SerializeToString()))
    assert failed(result) == []
    assert of(result, "jetson-inference ONNX").images == 4


def test_a_jetson_inference_flavour_that_undoes_another_normalisation_fails(bundle: Bundle) -> None:
    from onnx import numpy_helper

    name = "model.jetson-inference.onnx"
    flavour = jetson_inference_flavour(read(bundle, "model.onnx"))
    std = next(constant for constant in flavour.graph.initializer if constant.name == "imagenet.std")
    std.CopyFrom(numpy_helper.from_array(np.full((1, 3, 1, 1), 0.5, np.float32), std.name))
    result = verify(with_file(bundle, name, flavour.SerializeToString()))
    assert result.failed_files() == [name]


def test_where_tensorflow_is_missing_its_graphs_are_skipped_with_the_reason(
    whole: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    result = verify(whole)
    assert list(result.skipped) == ["frozen graph", "SavedModel"]
    assert "the package 'tensorflow' is not installed" in result.skipped["SavedModel"]
    assert result.passed


def test_the_images_that_differ_most_are_kept_to_explain_with(whole: Bundle) -> None:
    expected = np.tile(np.float32([0.5, 0.3, 0.2]), (7, 1))
    shift = np.float32([0.0, 0.2, 0.05, np.nan, 0.1, 0.2, 0.01])
    answer = expected + shift[:, None] * np.float32([-1, 1, 0])
    batch: list[Example] = [(np.full((3, 1, 1), index, np.float32), None) for index in range(7)]
    comparison = Comparison(bundle_paths(whole)[1])
    for part in (slice(0, 4), slice(4, 7)):
        comparison.add(batch[part], Answer(None, answer[part]), Answer(None, expected[part]))
    assert [int(tensor[0, 0, 0]) for _, _, tensor in comparison.worst] == [3, 1, 5, 4]
    assert comparison.changed == 3


@pytest.mark.parametrize(
    ("share", "images", "allowed"),
    [(0.005, 5, 1), (0.005, 199, 1), (0.005, 200, 1), (0.005, 400, 2), (0.02, 1000, 20), (0.0, 1000, 0)],
)
def test_a_share_is_judged_in_whole_images(share: float, images: int, allowed: int) -> None:
    assert allowed_images(share, images) == allowed


def test_a_limit_is_for_all_precisions_or_for_those_it_names() -> None:
    defaults = Limits().min_same_top1
    assert parse_limit("min_same_top1", "0.9", defaults) == {"fp32": 0.9, "fp16": 0.9, "int8": 0.9}
    named = parse_limit("min_same_top1", "fp16=0.9, int8=0.8", defaults)
    assert named == {"fp32": 1.0, "fp16": 0.9, "int8": 0.8}


@pytest.mark.parametrize("text", ["much", "-0.1", "2", "fp64=0.1", "fp16=", "nan"])
def test_a_limit_that_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--min_same_top1: got .* expected a number from 0 to 1"):
        parse_limit("min_same_top1", text, Limits().min_same_top1)


def test_limits_decide(whole: Bundle) -> None:
    strict = dataclasses.replace(Limits(), max_probability_difference={"fp32": 1e-4, "fp16": 1e-5, "int8": 1})
    assert failed(verify(whole, limits=strict)) == ["FP16 ONNX against ONNX: probability"]


def test_labels_one_short_are_told_with_both_numbers(bundle: Bundle) -> None:
    folder = Path(bundle.path)
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    record["labels"] = record["labels"][:-1]
    (folder / "labels.txt").write_text("blue\ngreen\n", encoding="utf-8")
    from legoclf.bundle_writer import file_record

    record["files"]["labels.txt"] = file_record(str(folder / "labels.txt"))._asdict()
    (folder / "model.json").write_text(json.dumps(record), encoding="utf-8")
    del record
    with pytest.raises(BundleError, match=r"golden.npz: .*logits: got \[4, 3\], expected \[4, 2\]"):
        verify(Bundle.open(bundle.path))


def test_labels_one_short_are_told_without_golden_images_too(bundle: Bundle, colours: Path) -> None:
    files = {name: entry for name, entry in bundle.files.items() if name != "golden.npz"}
    short = bundle._replace(labels=bundle.labels[:2], files=files)
    with pytest.raises(LegoclfError, match="model.onnx gives 3 probabilities, but there are 2 labels"):
        verify(short, held_out_images(short, str(colours)))


@pytest.mark.parametrize(
    "name", ["frozen_graph.pb", "saved_model/saved_model.pb", "model.onnx", "model.fp16.onnx"]
)
def test_a_truncated_graph_is_one_line_that_names_it(bundle: Bundle, name: str) -> None:
    content = Path(bundle.file(name)).read_bytes()
    damaged = with_file(bundle, name, content[: len(content) * 2 // 3])
    with pytest.raises(LegoclfError, match=name) as raised:
        verify(damaged)
    assert "\n" not in str(raised.value).strip()


@pytest.mark.parametrize("name", ["model.onnx", "model.fp16.onnx", "model.int8.onnx"])
def test_an_operator_of_another_domain_is_one_line_that_names_it(bundle: Bundle, name: str) -> None:
    def change(model: Any) -> None:
        from onnx import helper

        model.opset_import.append(helper.make_opsetid("com.example", 1))
        node = next(node for node in model.graph.node if node.op_type == "Clip")
        node.domain, node.op_type = "com.example", "Squash"

    source = "model.onnx" if name == "model.int8.onnx" else name
    with pytest.raises(LegoclfError, match=rf"{name}: .*Squash"):
        verify(changed_onnx(bundle, name, change, source=source))


def altered(bundle: Bundle, change: Callable[[dict[str, Any]], None]) -> Bundle:
    """The bundle with another golden.npz."""
    with np.load(bundle.file("golden.npz")) as golden:
        arrays = dict(golden)
    change(arrays)
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return with_file(bundle, "golden.npz", packed.getvalue())


def test_a_golden_image_that_was_altered_fails_the_preprocessing(bundle: Bundle) -> None:
    changed = altered(bundle, lambda arrays: arrays.update(image_0=arrays["image_0"][:, :, ::-1]))
    assert "preprocessing, reference: worst" in failed(verify(changed))


def test_golden_logits_that_were_altered_fail_the_onnx_graph(bundle: Bundle) -> None:
    changed = altered(bundle, lambda arrays: arrays.update(logits=arrays["logits"] + 0.01))
    assert failed(verify(changed)) == ["golden logits, ONNX"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("logits"), "has no array 'logits"),
        (lambda arrays: arrays.pop("image_2"), "has no array 'image_2"),
        (lambda arrays: arrays.pop("bound_levels_max"), "has no array 'bound_levels_max"),
        (lambda arrays: arrays.update(tensors=arrays["tensors"][:, :, 1:]), r"tensors: got \[4, 3, 31, 32\]"),
        (lambda arrays: arrays.update(logits=np.array([None])), "Object arrays"),
    ],
)
def test_a_golden_file_that_does_not_fit_is_one_line(
    bundle: Bundle, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with pytest.raises(BundleError, match=f"golden.npz: cannot be used: {message}"):
        verify(altered(bundle, change))


def test_a_golden_file_that_is_none_is_one_line(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"golden.npz: cannot be used: "):
        verify(with_file(bundle, "golden.npz", b"PK\x03\x04 no more"))


def test_without_golden_images_and_a_data_set_there_is_nothing_to_run_on(bundle: Bundle) -> None:
    files = {name: entry for name, entry in bundle.files.items() if name != "golden.npz"}
    with pytest.raises(BundleError, match="holds no golden.npz .* give --image_dir"):
        verify(bundle._replace(files=files))
