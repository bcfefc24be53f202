"""`legoclf retrain` from end to end, on photos the tests make and a module the tests make."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from legoclf.bundle import Bundle
from legoclf.cli import main
from legoclf.convert.frozen import FrozenGraph
from legoclf.retrain.outputs import usable_outputs
from legoclf.retrain.settings import Outputs

Train = Callable[..., int]


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with the hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_bundle_holds_what_the_format_says(trained: Path) -> None:
    assert sorted(Bundle.open(str(trained / "colours.bundle")).files) == [
        "frozen_graph.pb",
        "golden.npz",
        "labels.txt",
        "model.onnx",
        "report/calibration.png",
        "report/confusion_matrix.png",
        "report/index.html",
        "report/learning_curves.png",
        "saved_model/assets.extra/labels.txt",
        "saved_model/saved_model.pb",
    ]


def test_labels_stay_as_the_folders_are_written(trained: Path) -> None:
    assert Bundle.open(str(trained / "colours.bundle")).labels == ["Blue brick", "grün", "red"]


def test_three_colours_are_told_apart(trained: Path) -> None:
    assert Bundle.open(str(trained / "colours.bundle")).metrics["test_accuracy"] == 1.0


def test_the_photos_are_named_right_by_the_bundle_loaded_afresh(
    trained: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the share of them that may be answered unknown."""
    flags = ["--json", "--no_novelty"]
    assert main(["classify", str(trained / "colours.bundle"), str(photos), *flags]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.97


def test_the_photos_are_left_as_they_were(train: Train, own_photos: Path, tmp_path: Path) -> None:
    before = tree(own_photos)
    train(own_photos, tmp_path / "out")
    assert tree(own_photos) == before


def test_the_frozen_graph_and_the_onnx_graph_agree(trained: Path) -> None:
    bundle = Bundle.open(str(trained / "colours.bundle"))
    with np.load(bundle.file("golden.npz")) as golden:
        tensors, expected = golden["tensors"], golden["probabilities"]
    with FrozenGraph(bundle.file("frozen_graph.pb")) as frozen:
        answer = frozen.probabilities(tensors.transpose(0, 2, 3, 1))
    # TensorFlow and ONNX Runtime sum in another order: rounding of float32 in a few layers.
    assert np.abs(answer - expected).max() < 1e-4


def test_the_graph_carries_labels_and_contract(trained: Path) -> None:
    import onnx

    bundle = Bundle.open(str(trained / "colours.bundle"))
    carried = {
        entry.key: json.loads(entry.value) for entry in onnx.load(bundle.file("model.onnx")).metadata_props
    }
    assert carried == {"labels": bundle.labels, "input_contract": bundle.contract.to_json()}


def test_golden_images_give_the_golden_tensors_and_logits(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(trained / "colours.bundle")]) == 0
    assert "FAILED" not in capsys.readouterr().out


def test_a_head_that_was_changed_is_found_by_verify(trained: Path, tmp_path: Path) -> None:
    """The frozen graph of another training, its hash entered in model.json: only the answers tell."""
    from legoclf.convert.frozen import read_frozen, serialize

    other = Path(shutil.copytree(trained / "colours.bundle", tmp_path / "other.bundle"))
    graph = read_frozen(other / "frozen_graph.pb")
    bias = next(node for node in graph.node if node.name == "head/bias").attr["value"].tensor
    values = (
        np.frombuffer(bias.tensor_content, np.float32) if bias.tensor_content else np.zeros(3, np.float32)
    )
    bias.ClearField("float_val")
    bias.tensor_content = (values + np.array([9, 0, -9], np.float32)).tobytes()
    content = serialize(graph)
    (other / "frozen_graph.pb").write_bytes(content)
    record = json.loads((other / "model.json").read_text(encoding="utf-8"))
    record["files"]["frozen_graph.pb"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }
    (other / "model.json").write_text(json.dumps(record), encoding="utf-8")
    assert main(["verify", str(other)]) == 1


def test_final_test_accuracy_is_printed_as_retrain_py_does_and_stands_in_model_json(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(photos, tmp_path)
    found = re.search(
        r"^Final test accuracy = (\d+\.\d)% \(N=(\d+)\)$", capsys.readouterr().out, re.MULTILINE
    )
    assert found is not None
    metrics = Bundle.open(str(tmp_path / "colours.bundle")).metrics
    assert float(found[1]) == metrics["final_test_accuracy_percent"]
    assert int(found[2]) == metrics["images"]["test"]


def test_the_same_seed_gives_the_same_bytes(train: Train, photos: Path, tmp_path: Path) -> None:
    """Two runs from nothing but the converted module: no feature is taken over."""
    trees = []
    for _ in range(2):
        train(photos, tmp_path / "out", "--random_crop=10", "--cache_views=2", "--how_many_training_steps=50")
        trees.append(tree(tmp_path / "out" / "colours.bundle"))
        shutil.rmtree(tmp_path / "out")
    assert trees[0] == trees[1]


def test_features_from_the_cache_give_the_same_bytes(train: Train, photos: Path, tmp_path: Path) -> None:
    trees = []
    for _ in range(2):
        train(photos, tmp_path / "out", "--flip_left_right", "--cache_views=2")
        trees.append(tree(tmp_path / "out" / "colours.bundle"))
    assert trees[0] == trees[1]


def test_sgd_logs_the_lines_that_scripts_look_for(
    train: Train, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(photos, tmp_path, "--how_many_training_steps=12", "--validation_batch_size=7")
    assert re.search(r"Step 11: Train accuracy = \d+\.\d%", caplog.text)
    assert re.search(r"Step 11: Cross entropy = \d+\.\d{6}", caplog.text)
    assert re.search(r"Step 11: Validation accuracy = \d+\.\d% \(N=7\)", caplog.text)


def test_sgd_writes_tensorboard_scalars_that_tensorflow_reads_back(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    train(photos, tmp_path, "--how_many_training_steps=12")
    steps: dict[str, list[int]] = {}
    for split in ("train", "validation"):
        (log,) = (tmp_path / "logs" / split).iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(log)):
            for value in event.summary.value:
                steps.setdefault(f"{split}/{value.tag}", []).append(event.step)
    tags = ("accuracy_1", "cross_entropy_1")
    assert steps == {f"{split}/{tag}": [0, 10, 11] for split in ("train", "validation") for tag in tags}


def test_a_folder_of_summaries_is_never_emptied(train: Train, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "mine.txt").write_text("keep me")
    train(photos, tmp_path)
    assert (tmp_path / "logs" / "mine.txt").read_text() == "keep me"


def test_intermediate_graphs_are_stored_at_their_frequency(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    train(photos, tmp_path, "--how_many_training_steps=25", "--intermediate_store_frequency=10")
    stored = sorted((tmp_path / "steps").iterdir())
    assert [path.name for path in stored] == ["intermediate_10.pb", "intermediate_20.pb"]
    with FrozenGraph(stored[0]) as graph:
        assert graph.probabilities(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 3)


def test_the_copies_are_the_bundles_files(trained: Path) -> None:
    bundle = trained / "colours.bundle"
    assert (trained / "graph.pb").read_bytes() == (bundle / "frozen_graph.pb").read_bytes()
    assert (trained / "labels.txt").read_bytes() == (bundle / "labels.txt").read_bytes()


def test_the_checkpoint_holds_the_head_of_the_onnx_graph(trained: Path) -> None:
    import onnx
    import tensorflow as tf

    from legoclf.retrain.checkpoint import BIASES, WEIGHTS

    graph = onnx.load(trained / "colours.bundle" / "model.onnx").graph
    head = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    checkpoint = tf.train.load_checkpoint(str(trained / "checkpoint"))
    assert np.array_equal(checkpoint.get_tensor(WEIGHTS), head["head.weight"])
    assert np.array_equal(checkpoint.get_tensor(BIASES), head["head.bias"])


def test_lowercase_labels_are_those_of_retrain_py(train: Train, photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path, "--lowercase_labels")
    assert Bundle.open(str(tmp_path / "colours.bundle")).labels == ["blue brick", "gr n", "red"]


def test_the_softmax_has_the_name_asked_for(train: Train, photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path, "--final_tensor_name=answer")
    with FrozenGraph(tmp_path / "colours.bundle" / "frozen_graph.pb", "answer") as graph:
        assert graph.probabilities(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 3)


def test_a_damaged_photo_is_skipped_and_counted(
    train: Train, own_photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = own_photos / "red" / "00.jpg"
    photo.write_bytes(photo.read_bytes()[:500])
    assert train(own_photos, tmp_path) == 0
    assert f"skipped: {photo}: truncated" in caplog.text
    assert Bundle.open(str(tmp_path / "colours.bundle")).provenance["data_set"]["skipped"] == 1


def test_strict_fails_on_a_damaged_photo_and_writes_nothing(
    train: Train, own_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = own_photos / "red" / "00.jpg"
    photo.write_bytes(photo.read_bytes()[:500])
    assert train(own_photos, tmp_path, "--strict") == 1
    assert str(photo) in capsys.readouterr().err
    assert not (tmp_path / "colours.bundle").exists()


def test_misclassified_images_are_listed_on_demand(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One step of a tiny rate leaves a head that knows nothing and is wrong often."""
    flags = ("--how_many_training_steps=1", "--learning_rate=1e-9", "--print_misclassified_test_images")
    train(photos, tmp_path, *flags)
    printed = capsys.readouterr().out
    listed = Bundle.open(str(tmp_path / "colours.bundle")).metrics["misclassified"]
    assert "=== MISCLASSIFIED TEST IMAGES ===" in printed
    assert listed
    assert all(re.search(re.escape(entry["path"]) + r" +" + entry["predicted"], printed) for entry in listed)


def test_an_output_that_cannot_be_written_is_refused_before_the_training(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(photos, tmp_path, f"--output_graph={tmp_path}") == 1
    assert f"--output_graph {tmp_path}: is a folder; name a file" in capsys.readouterr().err
    assert not (tmp_path / "bottleneck").exists()


@pytest.mark.parametrize("flag", ["bundle", "bottleneck_dir", "summaries_dir", "output_labels"])
def test_a_place_below_a_file_is_refused_in_one_line(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    (tmp_path / "file").write_text("")
    assert train(photos, tmp_path, f"--{flag}={tmp_path}/file/below") == 1
    error = capsys.readouterr().err
    assert "cannot be written" in error
    assert f"--{flag}" in error
    assert error.count("\n") == 1


def test_a_bundle_inside_the_data_set_is_refused(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(photos, tmp_path, f"--bundle={photos}/colours.bundle") == 2
    assert "lies in the data set" in capsys.readouterr().err
    assert not (photos / "colours.bundle").exists()


@pytest.mark.parametrize("there", [False, True])
def test_the_saved_model_is_copied_to_a_place_that_is_empty_or_not_there(
    train: Train, photos: Path, tmp_path: Path, there: bool
) -> None:
    target = tmp_path / "copy"
    if there:
        target.mkdir()
    assert train(photos, tmp_path, f"--saved_model_dir={target}") == 0
    assert tree(target) == tree(tmp_path / "colours.bundle" / "saved_model")


def test_a_saved_model_is_not_copied_over_something_else(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine.txt").write_text("keep me")
    assert train(photos, tmp_path, f"--saved_model_dir={tmp_path}/copy") == 1
    assert "name a folder that does not" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["mine.txt"]


def test_a_default_place_that_cannot_be_written_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "logs"
    outputs = usable_outputs(Outputs(summaries_dir=place, optional=frozenset({"summaries_dir"})))
    assert outputs.summaries_dir is None
    assert f"--summaries_dir {place}: cannot be written" in caplog.text


@pytest.mark.parametrize("name", ["bad name!", "input"])
def test_a_final_tensor_name_that_cannot_be_is_refused_before_the_training(
    train: Train, photos: Path, tmp_path: Path, name: str
) -> None:
    assert train(photos, tmp_path, f"--final_tensor_name={name}") == 2
    assert not (tmp_path / "bottleneck").exists()


def test_a_bundle_in_the_place_of_something_else_is_refused(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "colours.bundle").write_text("my notes")
    assert train(photos, tmp_path) == 2
    assert (tmp_path / "colours.bundle").read_text() == "my notes"
    assert "is not a bundle" in capsys.readouterr().err


def test_without_test_images_the_run_says_that_nothing_was_measured(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(photos, tmp_path, "--testing_percentage=0", "--validation_percentage=0") == 0
    assert "No test image: the accuracy was not measured" in capsys.readouterr().out


def test_json_is_one_object(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(photos, tmp_path, "--json")
    assert json.loads(capsys.readouterr().out)["metrics"]["test_accuracy"] == 1.0


def test_the_report_names_every_class_and_shows_the_accuracy(trained: Path) -> None:
    page = (trained / "colours.bundle" / "report" / "index.html").read_text(encoding="utf-8")
    assert all(label in page for label in ("Blue brick", "grün", "red", "100.0 %"))


def test_cross_validation_is_printed_and_stands_in_model_json(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(photos, tmp_path, "--cross_validate=3", "--compare_heads")
    printed = capsys.readouterr().out
    record = Bundle.open(str(tmp_path / "colours.bundle")).metrics["cross_validation"]
    for head in ("lbfgs", "sgd"):
        accuracy = 100 * record["heads"][head]["accuracy"]
        assert f"Cross-validated accuracy, {head}: {accuracy:.1f}% (standard error " in printed
    assert re.search(r"^lbfgs against sgd: [+-]\d+\.\d points \(paired standard error", printed, re.MULTILINE)
    assert record["images"] == 90


def test_below_the_accuracy_asked_for_nothing_is_exported(
    train: Callable[..., int], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The labels are shuffled: no head names half of the test images right."""
    mixed = tmp_path / "mixed"
    for number, path in enumerate(sorted(photos.rglob("*.jpg"))):
        target = mixed / f"class {number % 3}" / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert train(mixed, tmp_path, "--assert_accuracy_at_least=0.95") == 1
    assert "0.95" in capsys.readouterr().err
    assert not (tmp_path / "colours.bundle").exists()
    assert not (tmp_path / "graph.pb").exists()
