"""Data sets by name: what Keras reads becomes class folders, whole or not at all."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from legoclf.data.folder import scan_folder
from legoclf.data.named import NAMED_SETS, named_data_set, named_folder, write_named
from legoclf.errors import LegoclfError, UsageError

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def arrays(shape: tuple[int, ...], train: int = 40, test: int = 20, columns: tuple[int, ...] = ()) -> Arrays:
    """Random images of ten classes in turn, labels of shape [N, *columns]."""
    random = np.random.default_rng(0)
    return {
        split: (
            random.integers(0, 256, (count, *shape), dtype=np.uint8),
            (np.arange(count) % 10).astype(np.uint8).reshape(count, *columns),
        )
        for split, count in (("train", train), ("test", test))
    }


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, as Keras looks for its home when it is imported; no network."""
    environment = {
        **os.environ,
        "KERAS_HOME": str(folder / "keras"),
        "LEGOCLF_CACHE_DIR": str(folder / "cache"),
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=100)


def save_as_keras_fetches(folder: Path, splits: Arrays) -> None:
    """Fashion-MNIST's four files: gzip of a header of 8 or 16 bytes and the values."""
    folder.mkdir(parents=True)
    for prefix, split in (("train", "train"), ("t10k", "test")):
        images, labels = splits[split]
        images_file, labels_file = f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"
        (folder / images_file).write_bytes(gzip.compress(bytes(16) + images.tobytes()))
        (folder / labels_file).write_bytes(gzip.compress(bytes(8) + labels.tobytes()))


@pytest.mark.parametrize(
    ("name", "shape", "columns"), [("mnist", (28, 28), ()), ("cifar10", (32, 32, 3), (1,))]
)
def test_every_pixel_is_kept(
    name: str, shape: tuple[int, ...], columns: tuple[int, ...], tmp_path: Path
) -> None:
    splits = arrays(shape, columns=columns)
    write_named(name, tmp_path / name, splits)
    label = NAMED_SETS[name].labels[3]
    written = np.asarray(Image.open(tmp_path / name / "test" / label / "00013.png"))
    np.testing.assert_array_equal(written, splits["test"][0][13])


def test_the_official_test_images_stay_the_test_set(tmp_path: Path) -> None:
    write_named("mnist", tmp_path / "mnist", arrays((28, 28), train=400))
    data = scan_folder(str(tmp_path / "mnist"))
    assert {x.relative.partition("/")[0] for x in data.images if x.split == "test"} == {"test"}
    assert Counter(x.split for x in data.images)["test"] == 20


def test_validation_is_taken_from_the_training_images(tmp_path: Path) -> None:
    write_named("mnist", tmp_path / "mnist", arrays((28, 28), train=400))
    validation = [x for x in scan_folder(str(tmp_path / "mnist")).images if x.split == "validation"]
    assert validation
    assert all(x.relative.startswith("train/") for x in validation)


@pytest.mark.parametrize("name", NAMED_SETS)
def test_labels_are_those_of_the_set(name: str, tmp_path: Path) -> None:
    write_named(name, tmp_path / name, arrays((28, 28)))
    assert scan_folder(str(tmp_path / name)).labels == sorted(NAMED_SETS[name].labels)


def test_the_description_counts_what_was_written(tmp_path: Path) -> None:
    write_named("mnist", tmp_path / "mnist", arrays((28, 28)), images_a_class=3)
    described = json.loads((tmp_path / "mnist" / "data_set.json").read_text())
    assert described["images"]["train"] == dict.fromkeys("0123456789", 3)
    assert len(list((tmp_path / "mnist" / "train").rglob("*.png"))) == 30


def test_a_set_that_cannot_be_written_to_the_end_leaves_nothing(tmp_path: Path) -> None:
    splits = arrays((28, 28))
    images, labels = splits["test"]
    splits["test"] = images[:5], labels  # the sixth image of the test set is missing
    with pytest.raises(IndexError):
        write_named("mnist", tmp_path / "datasets" / "mnist", splits)
    assert list((tmp_path / "datasets").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "datasets").write_text("a file where the folder should be")
    with pytest.raises(LegoclfError, match="LEGOCLF_CACHE_DIR"):
        write_named("mnist", tmp_path / "datasets" / "mnist", arrays((28, 28)))


def test_a_second_run_finds_what_the_first_made(tmp_path: Path) -> None:
    """Were it made anew, Keras would be asked, which has no file of it here."""
    folder = named_folder("mnist", tmp_path)
    write_named("mnist", folder, arrays((28, 28)))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert named_data_set("mnist", tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_quick_look_has_a_folder_of_its_own(tmp_path: Path) -> None:
    assert named_folder("mnist", tmp_path, 50) != named_folder("mnist", tmp_path)


def test_a_name_like_one_that_is_known_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean fashion_mnist"):
        named_folder("fashion-mnist", tmp_path)


def test_an_unknown_name_is_answered_with_every_way_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected one of mnist, fashion_mnist, cifar10, or tfds:NAME"):
        named_folder("beans", tmp_path)


def test_a_set_of_tensorflow_datasets_is_kept_beside_those_of_keras(tmp_path: Path) -> None:
    assert named_folder("tfds:mnist", tmp_path, 5) == tmp_path / "datasets" / "tfds-mnist-5-a-class"


def test_no_image_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--images_a_class: got 0"):
        named_folder("mnist", tmp_path, 0)


#: The command for each set, in turn; a line of JSON each: its exit code and what it wrote to either stream.
_ASK = """
import contextlib, io, json, sys
from legoclf.cli import main
for name in sys.argv[1:]:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = main(["retrain", f"--dataset={name}", "--logging_verbosity=ERROR"])
    print(json.dumps([code, out.getvalue(), error.getvalue()]))
"""


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Any]]]:
    """The folder of a process without a network, and what came of asking for each set there."""
    folder = tmp_path_factory.mktemp("cut_off")
    done = run_python(folder, "-c", _ASK, *NAMED_SETS)
    assert done.returncode == 0, done.stderr
    return folder, dict(zip(NAMED_SETS, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("name", NAMED_SETS)
def test_without_a_network_one_line_says_what_to_bring_where(
    name: str, cut_off: tuple[Path, dict[str, list[Any]]]
) -> None:
    folder, told = cut_off
    code, out, error = told[name]
    assert code == 1
    [line] = [line for line in error.splitlines() if line.startswith("legoclf: ")]
    for address, place in NAMED_SETS[name].files.items():
        assert f"{address} as {folder / 'keras' / 'datasets' / place}" in line
    assert out == ""
    assert not (folder / "cache" / "datasets").exists()


@pytest.mark.slow
def test_a_classifier_is_trained_on_what_keras_keeps(tmp_path: Path) -> None:
    """Fashion-MNIST, as Keras checks no hash of its files: small ones in its format pass for it."""
    splits = arrays((28, 28), train=100)
    save_as_keras_fetches(tmp_path / "keras" / "datasets" / "fashion-mnist", splits)
    flags = ["--dataset=fashion_mnist", f"--bottleneck_dir={tmp_path / 'bottleneck'}", "--json"]
    for flag in ("output_graph", "output_labels", "summaries_dir", "checkpoint_path"):
        flags.append(f"--{flag}={tmp_path / flag}")
    done = run_python(tmp_path, "-m", "legoclf", "retrain", *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels"] == sorted(NAMED_SETS["fashion_mnist"].labels)
    assert (tmp_path / "fashion_mnist.bundle" / "model.onnx").is_file()
