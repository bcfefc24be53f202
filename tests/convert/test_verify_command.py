"""`legoclf verify`: the exit code, the tables, the object, and what model.json keeps."""

import hashlib
import json
import resource
from pathlib import Path

import pytest
import small_bundle
from small_bundle import changed_onnx, scale_weights

from legoclf.bundle import Bundle
from legoclf.cli import main

#: What a small bundle holds beside the reference.
GRAPHS = ["frozen graph", "SavedModel", "FP16 ONNX"]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    return small_bundle.write_bundle(tmp_path / "small.bundle")


@pytest.fixture
def damaged(bundle: Bundle) -> Bundle:
    """Its FP16 graph has one layer with weights a quarter too large."""
    return changed_onnx(bundle, "model.fp16.onnx", scale_weights("Conv_2", 1.25))


def contents(bundle: Bundle) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(bundle.path).rglob("*") if path.is_file()}


def test_a_whole_bundle_passes_and_that_is_stored(bundle: Bundle) -> None:
    assert main(["verify", bundle.path]) == 0
    stored = Bundle.open(bundle.path).metrics["verification"]
    assert (stored["passed"], stored["date"], stored["images"]) == (True, "2020-09-13T12:26:40Z", 4)
    assert stored["packages"]["onnxruntime"]
    assert [graph["name"] for graph in stored["graphs"]] == [
        "ONNX",
        "frozen graph",
        "SavedModel",
        "FP16 ONNX",
    ]


def test_each_stored_figure_is_of_a_file_that_is_known_by_its_hash(bundle: Bundle) -> None:
    main(["verify", bundle.path])
    for graph in Bundle.open(bundle.path).metrics["verification"]["graphs"]:
        content = Path(bundle.file(graph["file"])).read_bytes()
        assert graph["sha256"] == hashlib.sha256(content).hexdigest()


def test_nothing_but_the_verification_changes(bundle: Bundle) -> None:
    before = contents(bundle)
    main(["verify", bundle.path])
    after = contents(bundle)
    changed = [name for name in after if before.get(name) != after[name]]
    assert [Path(name).name for name in changed] == ["model.json"]
    record = json.loads(after[changed[0]])
    del record["metrics"]["verification"]
    assert record == json.loads(before[changed[0]])


def test_a_second_time_takes_the_place_of_the_first(bundle: Bundle) -> None:
    main(["verify", bundle.path])
    before = contents(bundle)
    main(["verify", bundle.path])
    assert contents(bundle) == before


def test_no_store_leaves_the_bundle_alone(bundle: Bundle) -> None:
    before = contents(bundle)
    assert main(["verify", bundle.path, "--no_store"]) == 0
    assert contents(bundle) == before


def test_a_damaged_graph_fails_is_stored_as_failed_and_its_layer_named(
    damaged: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", damaged.path]) == 1
    printed = capsys.readouterr().out
    assert "FAILED FP16 ONNX against ONNX: probability: 0." in printed
    assert "FP16 ONNX: Conv_2 (Conv) is at fault" in printed
    assert "layer by layer" not in printed
    assert Bundle.open(damaged.path).metrics["verification"]["passed"] is False


def test_explain_shows_the_layers_of_the_graph_that_failed(
    damaged: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", damaged.path, "--explain"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "layer by layer" in line] == [
        "FP16 ONNX, layer by layer, on the 4 images that differ most:"
    ]
    assert [line.split()[0] for line in lines if "<- first" in line] == ["Conv_2"]


def test_explain_shows_all_graphs_where_none_fails(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", bundle.path, "--explain"]) == 0
    printed = capsys.readouterr().out
    assert [name for name in GRAPHS if f"{name}, layer by layer" in printed] == GRAPHS


def test_a_limit_lets_a_graph_pass_that_the_default_does_not(damaged: Bundle) -> None:
    # The golden bound of a probability is the bundle's own; the held-out images are judged by the flags.
    assert main(["verify", damaged.path, "--max_probability_difference", "fp16=0.5"]) == 1
    assert main(["verify", damaged.path, "--max_probability_difference", "fp16=1.5"]) == 2


def test_the_object_has_every_figure(damaged: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", damaged.path, "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["passed"] is False
    assert {check["name"] for check in record["checks"] if not check["passed"]} >= {
        "FP16 ONNX against ONNX: probability"
    }
    (explained,) = record["explained"]
    assert (explained["name"], explained["first"], len(explained["layers"])) == ("FP16 ONNX", "Conv_2", 9)


def test_what_is_not_finite_is_null_in_the_object_and_in_model_json(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = changed_onnx(bundle, "model.fp16.onnx", scale_weights("head", float("nan")))
    assert main(["verify", broken.path, "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    stored = Bundle.open(broken.path).metrics["verification"]
    for graphs in (record["graphs"], stored["graphs"]):
        assert graphs[-1]["max_probability_difference"] is None
        assert graphs[-1]["top1_changed"] == 4


def test_held_out_images_give_an_accuracy(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colours = small_bundle.paint(tmp_path / "colours")
    assert main(["verify", bundle.path, f"--image_dir={colours}", "--split=all"]) == 0
    printed = capsys.readouterr().out
    assert "graphs compared on 30 images" in printed
    reference = next(line for line in printed.splitlines() if line.startswith("ONNX") and "held-out" in line)
    assert reference.split()[-1].endswith("%")


def test_a_skipped_image_is_named(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colours = small_bundle.paint(tmp_path / "colours")
    content = (colours / "red" / "3.png").read_bytes()
    (colours / "red" / "3.png").write_bytes(content[: len(content) // 2])
    main(["verify", bundle.path, f"--image_dir={colours}", "--split=all"])
    printed = capsys.readouterr().out
    assert f"skipped: {colours}/red/3.png: " in printed
    assert "graphs compared on 29 images" in printed


def test_a_result_that_cannot_be_stored_is_shown_all_the_same(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file may not grow beyond 64 bytes: what a full disk does."""
    before = contents(bundle)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        code = main(["verify", bundle.path])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    printed = capsys.readouterr()
    assert code == 1
    assert "graphs compared on 4 images" in printed.out
    assert printed.err.splitlines()[-1].startswith("legoclf: error: the result is not stored: ")
    assert "--no_store" in printed.err
    assert contents(bundle) == before
