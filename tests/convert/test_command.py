"""`legoclf convert`: what it adds to a bundle, makes of foreign models, refuses, and tells."""

import json
from pathlib import Path

import novel_graphs
import numpy as np
import onnx
import pytest
import small_bundle

from legoclf.bundle import ONNX_MODEL, Bundle
from legoclf.classify import classify, find_sources
from legoclf.cli import main
from legoclf.convert.engine.command import default_batch
from legoclf.convert.frozen import import_tensorflow
from legoclf.convert.onnx_graph import serialize


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small_bundle.write_bundle(tmp_path / "small.bundle")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle.paint(tmp_path_factory.mktemp("photos") / "colours")


def test_every_graph_is_made_and_verified(bundle: Bundle, photos: Path) -> None:
    assert main(["convert", bundle.path, f"--image_dir={photos}", "--int8", "--jetson_inference"]) == 0
    made = Bundle.open(bundle.path)
    assert {"model.fp16.onnx", "model.int8.onnx", "model.jetson-inference.onnx"} <= set(made.files)
    assert set(made.metrics["conversion"]) == {name for name in made.files if name.startswith("model.")} - {
        ONNX_MODEL
    }
    assert main(["verify", bundle.path, f"--image_dir={photos}"]) == 0


@pytest.mark.parametrize("kind", novel_graphs.KINDS)
def test_every_graph_of_a_bundle_with_novelty_is_made_and_verified(
    kind: str, tmp_path: Path, photos: Path
) -> None:
    bundle = novel_graphs.write_bundle(tmp_path / "novel.bundle", novel_graphs.of_kind(kind), 1000.0)
    flags = [f"--image_dir={photos}", "--batch=1", "--int8", "--jetson_inference", "--target=jetpack7"]
    assert main(["convert", bundle.path, *flags]) == 0
    made = Bundle.open(bundle.path)
    assert made.novelty == bundle.novelty
    outputs = {
        name: tuple(value.name for value in onnx.load(made.file(name)).graph.output)
        for name in made.files
        if name.endswith(".onnx")
    }
    assert outputs.pop("model.jetson-inference.onnx") == ("output_0",)
    assert outputs == dict.fromkeys(
        ("model.fp16.onnx", "model.int8.onnx", "model.onnx"), ("logits", "probabilities", "novelty")
    )
    conversion = made.metrics["conversion"]
    assert 0 < conversion["model.fp16.onnx"]["novelty_difference"] < 0.01
    assert conversion["model.int8.onnx"]["novelty_difference"] < 0.5
    assert main(["verify", bundle.path]) == 0


def test_two_conversions_give_the_same_bytes(bundle: Bundle, photos: Path) -> None:
    flags = [f"--image_dir={photos}", "--int8", "--jetson_inference"]
    assert main(["convert", bundle.path, *flags]) == 0
    first = Bundle.open(bundle.path)
    assert main(["convert", bundle.path, *flags]) == 0
    again = Bundle.open(bundle.path)
    assert (again.files, again.metrics) == (first.files, first.metrics)


def test_without_a_data_set_the_golden_images_must_do_and_that_is_said(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert main(["convert", bundle.path]) == 0
    assert "golden images alone" in caplog.text
    assert Bundle.open(bundle.path).metrics["conversion"]["model.fp16.onnx"]["images"] == 4


def test_a_graph_of_one_image_still_classifies_many(bundle: Bundle, photos: Path) -> None:
    before = list(classify(bundle, find_sources([str(photos)], bundle.labels), 1))
    assert main(["convert", bundle.path, "--batch=1"]) == 0
    fixed = Bundle.open(bundle.path)
    model = onnx.load(fixed.file(ONNX_MODEL))
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    after = list(classify(fixed, find_sources([str(photos)], bundle.labels), 1))
    assert [each.top[0][0] for each in after] == [each.top[0][0] for each in before]


def test_the_largest_batch_is_the_engines_default(bundle: Bundle) -> None:
    assert default_batch(bundle) == (1, 1, 1)
    assert main(["convert", bundle.path, "--batch=dynamic:8"]) == 0
    assert default_batch(Bundle.open(bundle.path)) == (1, 1, 8)


def test_a_target_that_takes_the_graphs_is_told(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", bundle.path, "--target=jetpack4", "--target=rtx"]) == 0
    told = capsys.readouterr().out
    assert "model.onnx on jetpack4 (JetPack 4.6: TensorRT 8.2.1, opset 13): takes the graph" in told
    assert "model.fp16.onnx on rtx" in told


def test_a_target_that_does_not_take_a_graph_fails_the_command(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    def newer(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 17

    bundle = small_bundle.changed_onnx(bundle, ONNX_MODEL, newer)
    assert main(["convert", bundle.path, "--target=jetpack4"]) == 1
    assert "opset" in capsys.readouterr().out


def save_keras(path: Path, classes: int) -> Path:
    import_tensorflow()
    import keras

    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Input((32, 32, 3)),
        keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(classes, activation="softmax"),
    ]
    keras.Sequential(layers).save(path)
    return path


def test_a_foreign_classifier_becomes_a_bundle_like_any_other(tmp_path: Path, photos: Path) -> None:
    model = save_keras(tmp_path / "own.keras", 3)
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    out = tmp_path / "own.bundle"
    flags = [f"--labels={tmp_path / 'labels.txt'}", "--input_range=-1..1", f"--bundle={out}"]
    assert main(["convert", f"--from={model}", *flags, f"--image_dir={photos}"]) == 0
    bundle = Bundle.open(str(out))
    assert bundle.labels == ["blue", "green", "red"]
    assert bundle.provenance["model"]["input_range"] == "-1..1"
    assert (bundle.contract.height, bundle.contract.scale) == (32, np.float32(1 / 255))
    assert main(["verify", str(out), f"--image_dir={photos}"]) == 0
    assert main(["classify", str(out), str(photos)]) == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--from=own.keras", "--labels=l.txt"], "--from needs --input_range"),
        (["--from=own.keras", "--input_range=0..1"], "--from needs --labels"),
        (["--labels=l.txt"], "name it by --from"),
        (["--int8"], "name the data set by --image_dir"),
        (["--batch=dynamic:0"], "expected 1 or dynamic:MAX"),
        (["x.bundle", "--from=own.keras", "--labels=l.txt", "--input_range=0..1"], "by --bundle"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", *flags]) == 2
    assert told in capsys.readouterr().err


def test_labels_one_short_leave_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_keras(tmp_path / "own.keras", 3)
    (tmp_path / "labels.txt").write_text("blue\ngreen\n")
    flags = [f"--labels={tmp_path / 'labels.txt'}", "--input_range=0..1", f"--bundle={tmp_path / 'x.bundle'}"]
    assert main(["convert", f"--from={model}", *flags]) == 1
    assert "3 classes" in capsys.readouterr().err
    assert not (tmp_path / "x.bundle").exists()


def test_json_tells_sizes_and_findings(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", bundle.path, "--target=rtx", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    [fp16] = record["artefacts"]
    whole = onnx.load(Bundle.open(bundle.path).file("model.fp16.onnx"))
    assert (fp16["name"], fp16["bytes"]) == ("model.fp16.onnx", len(serialize(whole)))
    assert record["targets"]["rtx: model.onnx"] == []
