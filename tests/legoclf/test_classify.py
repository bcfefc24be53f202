"""`legoclf classify` on a bundle small enough to know its answers: it names the strongest colour."""

import io
import json
import os
import unicodedata

import novel_bundle
import numpy as np
import pytest
import tiny_bundle

from legoclf.bundle import Bundle
from legoclf.bundle_update import add_files
from legoclf.bundle_writer import BundleWriter
from legoclf.cli import main
from legoclf.contract import unit_range_contract

onnx = pytest.importorskip("onnx", reason="the bundle's graph is made with onnx")
pytest.importorskip("onnxruntime", reason="classify runs ONNX Runtime")
pillow = pytest.importorskip("PIL.Image", reason="the images are made with Pillow")

LABELS = ["Rot é", "green", "blue"]
COLOURS = {"Rot é": (200, 40, 30), "green": (30, 190, 60), "blue": (40, 60, 220)}


def colour_graph():
    """Ten times the mean of each channel as logits, and their softmax."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "ten"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("input", kind, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info(name, kind, ["n", 3]) for name in ("logits", "probabilities")],
        [helper.make_tensor("ten", kind, [1], [10.0])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


@pytest.fixture
def bundle(tmp_path):
    path = str(tmp_path / "colours.bundle")
    with BundleWriter(path) as writer:
        onnx.save(colour_graph(), writer.file("model.onnx"))
        writer.finish(LABELS, unit_range_contract(16, 16), {}, {})
    return path


def paint(path, colour, size=(40, 30)):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    pillow.new("RGB", size, colour).save(str(path))
    return str(path)


@pytest.fixture
def folder(tmp_path):
    """A folder of class folders: two images each, one of them in the wrong place."""
    root = tmp_path / "photos"
    for label, colour in COLOURS.items():
        paint(root / label / "one.png", colour)
        paint(root / label / "nested" / "two.jpg", colour)
    paint(root / "green" / "really blue.png", COLOURS["blue"])
    return str(root)


def answers(capsys, *arguments):
    code = main(["classify", "--json", *list(arguments)])
    return code, json.loads(capsys.readouterr().out)


def test_an_image_is_named_with_its_probabilities(bundle, tmp_path, capsys):
    path = paint(tmp_path / "x.png", COLOURS["blue"])
    _, result = answers(capsys, bundle, path)
    top = result["images"][0]["top"]
    means = np.array(COLOURS["blue"]) / 255 * 10
    expected = np.exp(means) / np.exp(means).sum()
    assert [entry["label"] for entry in top] == ["blue", "green", "Rot é"]
    # float32 against float64 on numbers below one.
    assert [entry["probability"] for entry in top] == pytest.approx(sorted(expected, reverse=True), abs=1e-6)


def test_top_k_limits_the_labels(bundle, tmp_path, capsys):
    path = paint(tmp_path / "x.png", COLOURS["blue"])
    assert len(answers(capsys, bundle, path, "--top_k", "2")[1]["images"][0]["top"]) == 2


def test_text_output_is_a_line_an_image(bundle, tmp_path, capsys):
    path = paint(tmp_path / "x.png", (255, 0, 0))
    main(["classify", bundle, path])
    assert capsys.readouterr().out == path + ": Rot é 100.0%, green 0.0%, blue 0.0%\n"


def test_a_folder_of_class_folders_gives_the_accuracy(bundle, folder, capsys):
    assert answers(capsys, bundle, folder)[1]["accuracy"] == pytest.approx(6 / 7)


def test_a_folder_in_retrain_pys_lower_case_gives_the_accuracy(bundle, tmp_path, capsys):
    paint(tmp_path / "photos" / "GREEN" / "one.png", COLOURS["green"])
    assert answers(capsys, bundle, str(tmp_path / "photos"))[1]["accuracy"] == 1.0


def test_a_folder_name_in_decomposed_unicode_is_the_same_label(bundle, tmp_path, capsys):
    decomposed = unicodedata.normalize("NFD", "Rot é")
    paint(tmp_path / "photos" / decomposed / "one.png", COLOURS["Rot é"])
    assert answers(capsys, bundle, str(tmp_path / "photos"))[1]["accuracy"] == 1.0


def test_images_of_no_known_class_have_no_accuracy(bundle, tmp_path, capsys):
    path = paint(tmp_path / "x.png", COLOURS["blue"])
    assert answers(capsys, bundle, path)[1]["accuracy"] is None


def test_a_dash_reads_standard_input(bundle, tmp_path, capsys, monkeypatch):
    with open(paint(tmp_path / "x.png", COLOURS["green"]), "rb") as stream:
        content = io.BytesIO(stream.read())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(content))
    assert answers(capsys, bundle, "-")[1]["images"][0]["top"][0]["label"] == "green"


def test_the_only_bundle_here_needs_no_name(bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LEGOCLF_BUNDLE", raising=False)
    monkeypatch.chdir(tmp_path)
    path = paint(tmp_path / "x.png", COLOURS["green"])
    assert answers(capsys, path)[1]["bundle"] == "colours.bundle"


def test_a_damaged_image_is_skipped_and_makes_the_exit_code_1(bundle, folder, capsys):
    damaged = os.path.join(folder, "blue", "cut.png")
    with open(os.path.join(folder, "blue", "one.png"), "rb") as stream:
        content = stream.read()
    with open(damaged, "wb") as stream:
        stream.write(content[:60])
    code, result = answers(capsys, bundle, folder)
    assert (code, [entry["path"] for entry in result["skipped"]], len(result["images"])) == (1, [damaged], 7)


def test_many_images_come_out_in_order(bundle, tmp_path, capsys):
    """More than one batch, with one that fails in the midst."""
    colours = sorted(COLOURS)
    paths = [paint(tmp_path / "{:02d}.png".format(i), COLOURS[colours[i % 3]]) for i in range(20)]
    with open(paths[9], "wb"):
        pass
    _, result = answers(capsys, bundle, *paths)
    named = [entry["top"][0]["label"] for entry in result["images"]]
    assert named == [colours[i % 3] for i in range(20) if i != 9]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "none.jpg: no such file or folder"),
        ([], "no image: name an image"),
        (["x.png", "--top_k", "0"], "--top_k: got 0"),
    ],
)
def test_a_wrong_call_is_told(bundle, capsys, arguments, message):
    assert main(["classify", bundle, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_empty_folder_is_told(bundle, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["classify", bundle, str(tmp_path / "empty")]) == 1
    assert "holds no JPEG, PNG, BMP or WebP image" in capsys.readouterr().err


def test_a_graph_that_onnx_runtime_does_not_load_is_one_line(bundle, tmp_path, capsys):
    """A bundle whose hash is right and whose graph is not: made by a faulty tool, not damaged."""
    with BundleWriter(bundle) as writer:
        with open(writer.file("model.onnx"), "wb") as stream:
            stream.write(b"no graph")
        writer.finish(LABELS, unit_range_contract(16, 16), {}, {})
    assert main(["classify", bundle, paint(tmp_path / "x.png", (1, 2, 3))]) == 1
    assert "model.onnx: ONNX Runtime does not load it" in capsys.readouterr().err


@pytest.fixture
def novel(tmp_path):
    return novel_bundle.write_bundle(tmp_path / "novel.bundle")


@pytest.fixture
def strange(tmp_path):
    return paint(tmp_path / "photos" / "red" / "strange.png", novel_bundle.STRANGE)


@pytest.fixture
def red(tmp_path):
    return paint(tmp_path / "photos" / "red" / "red.png", tiny_bundle.COLOURS[0][1])


def test_what_is_too_strange_is_unknown_however_probable(novel, strange, red, capsys):
    _, result = answers(capsys, novel, strange, red)
    first, second = result["images"]
    assert (first["unknown"], second["unknown"]) == (True, False)
    assert first["top"][0]["label"] == "red"
    assert first["top"][0]["probability"] > 0.99
    # 20 times the squared distance of the colours, in [0, 1], of which FP32 has seven digits.
    assert first["novelty"] == pytest.approx(20 * (110**2 + 10**2 + 10**2) / 255**2, rel=1e-4)
    assert second["novelty"] == pytest.approx(0, abs=1e-4)


def test_what_is_too_strange_says_so_in_text(novel, strange, capsys):
    main(["classify", novel, strange, "--top_k", "1"])
    assert capsys.readouterr().out == strange + ": unknown (novelty 3.783), most like red 100.0%\n"


def test_no_novelty_gives_a_label_whatever_is_shown(novel, strange, capsys):
    _, result = answers(capsys, novel, strange, "--no_novelty")
    assert result["images"][0]["unknown"] is False


def test_an_image_that_is_unknown_is_not_named_right(novel, strange, red, tmp_path, capsys):
    main(["classify", novel, str(tmp_path / "photos")])
    assert "accuracy: 50.0% (1 of 2, 1 unknown)\n" in capsys.readouterr().out
    assert answers(capsys, novel, str(tmp_path / "photos"))[1]["accuracy"] == 0.5


def test_a_graph_without_novelty_is_answered_as_ever(bundle, tmp_path, capsys):
    _, result = answers(capsys, bundle, paint(tmp_path / "x.png", COLOURS["blue"]))
    assert sorted(result["images"][0]) == ["path", "top", "truth"]


def test_a_rule_for_a_graph_without_novelty_is_worth_a_word(novel, strange, tmp_path, capsys, caplog):
    plain = Bundle.open(tiny_bundle.write_bundle(tmp_path / "plain.bundle"))
    with open(plain.file("model.onnx"), "rb") as stream:
        add_files(Bundle.open(novel), {"model.onnx": stream.read()}, {}, {})
    _, result = answers(capsys, novel, strange)
    assert "model.onnx: has no output 'novelty'" in caplog.text
    assert "unknown" not in result["images"][0]
