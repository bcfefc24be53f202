"""Data sets of TensorFlow Datasets: found by name, refused, fetched; its own code reads what it makes up."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tfds_examples import Example, Store, encoded, files_of

from legoclf.data.named import named_data_set
from legoclf.data.tfds_sets import open_tfds_set
from legoclf.errors import LegoclfError, UsageError
from legoclf.image import read_image


def run_retrain(tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """The command in a process and a home of its own, without a network."""
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "LEGOCLF_CACHE_DIR": str(tmp_path / "cache"),
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
    }
    environment.pop("TFDS_DATA_DIR", None)
    command = [sys.executable, "-m", "legoclf", "retrain", *flags]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200)


# -- What is found where


def test_a_second_run_needs_no_tfds(store_labelled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1]})
    first = named_data_set("tfds:tiny", cache)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert named_data_set("tfds:tiny", cache) == first


def test_the_folder_of_tfds_can_be_named(
    store_labelled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1]})
    monkeypatch.setenv("TFDS_DATA_DIR", str(cache / "tensorflow_datasets"))
    assert files_of(named_data_set("tfds:tiny", tmp_path / "other"))


def test_a_version_can_be_named(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1]})
    assert named_data_set("tfds:tiny:1.0.0", cache).name == "tfds-tiny-1.0.0"


def test_without_the_package_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(LegoclfError, match=r"pip install 'legoclf\[tfds\]'"):
        named_data_set("tfds:beans", tmp_path)


@pytest.mark.usefixtures("tfds")
def test_a_name_like_one_that_is_known_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no flowers; the nearest: .*tf_flowers"):
        named_data_set("tfds:flowers", tmp_path)


@pytest.mark.usefixtures("tfds")
def test_a_config_like_one_that_is_known_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no config fog1; the nearest: fog_1"):
        named_data_set("tfds:cifar10_corrupted/fog1", tmp_path)


@pytest.mark.usefixtures("tfds")
def test_a_version_that_there_is_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="9.9.9"):
        named_data_set("tfds:beans:9.9.9", tmp_path)


# -- Sets that are not for image classification


def test_a_set_without_a_class_label_is_refused_with_what_it_has(tfds: Any, store: Store) -> None:
    examples = [{"image": encoded(np.random.default_rng(0), "PNG"), "caption": "a cat"}]
    cache = store({"train": examples}, caption=tfds.features.Text())
    with pytest.raises(LegoclfError, match=r"it has caption \(Text\), image \(Image\);"):
        named_data_set("tfds:tiny", cache)


def test_of_two_class_labels_none_is_guessed(tfds: Any, store: Store) -> None:
    examples = [{"image": encoded(np.random.default_rng(0), "PNG"), "colour": 0, "shape": 0}]
    label = tfds.features.ClassLabel(names=["a"])
    cache = store({"train": examples}, colour=label, shape=label)
    with pytest.raises(LegoclfError, match="not for image classification"):
        named_data_set("tfds:tiny", cache)


@pytest.mark.usefixtures("tfds")
def test_a_set_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(LegoclfError, match=r"it has .*\(Text\)"):
        named_data_set("tfds:imdb_reviews", tmp_path)


# -- Sets that TFDS knows, with images it makes up


@pytest.fixture
def mocked(tfds: Any, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Have TFDS make up the images of a set of its own; what it knows of the set is real."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def mock(name: str) -> Path:
            builder = tfds.builder(name, data_dir=tmp_path / "metadata")
            splits = [
                tfds.core.SplitInfo(name=split, shard_lengths=[4], num_bytes=100, filename_template=None)
                for split in ("train", "test")
            ]
            builder.info.set_splits(tfds.core.SplitDict(splits))
            builder.data_path.mkdir(parents=True)
            builder.info.write_to_directory(builder.data_path)
            stack.enter_context(tfds.testing.mock_data(4, data_dir=str(tmp_path / "metadata")))
            return tmp_path / "cache"

        yield mock


@pytest.mark.parametrize("name", ["mnist", "cifar100", "stanford_dogs", "rock_paper_scissors"])
def test_a_set_of_tfds_becomes_class_folders(name: str, mocked: Callable[[str], Path]) -> None:
    folder = named_data_set(f"tfds:{name}", mocked(name))
    images = [path for path in folder.rglob("*") if path.suffix in (".png", ".jpg")]
    assert len(images) == 8
    assert all(read_image(str(path)).shape[-1] == 3 for path in images)


@pytest.mark.parametrize(
    ("name", "label"), [("cifar100", "label"), ("smallnorb", "label_category"), ("cifar10_n", "label")]
)
def test_of_several_labels_the_main_one_is_taken(
    name: str, label: str, mocked: Callable[[str], Path]
) -> None:
    assert open_tfds_set(f"tfds:{name}", mocked(name)).label == label


# -- Sets that are fetched


def define_set(tfds: Any, name: str, address: str | None = None) -> None:
    """Have TFDS know a set of that name, which downloads ``address`` first."""

    def info(self: Any) -> Any:
        features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=["cat", "dog"])}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def split_generators(self: Any, downloads: Any) -> Any:
        if address is not None:
            downloads.download(address)
        return {"train": self._generate_examples()}

    def examples(self: Any) -> Iterator[tuple[int, Example]]:
        random = np.random.default_rng(0)
        for index in range(4):
            yield index, {"image": encoded(random, "PNG"), "label": index % 2}

    members = {
        "__module__": __name__,
        "VERSION": tfds.core.Version("1.0.0"),
        "_info": info,
        "_split_generators": split_generators,
        "_generate_examples": examples,
    }
    type(name, (tfds.core.GeneratorBasedBuilder,), members)


def test_a_set_that_is_not_there_yet_is_fetched(
    tfds: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    define_set(tfds, "FetchedSet")
    folder = named_data_set("tfds:fetched_set", tmp_path)
    assert files_of(folder) == ["cat/train.png"] * 2 + ["dog/train.png"] * 2
    assert capsys.readouterr().out == ""


def test_a_server_that_says_nothing_is_given_up(
    tfds: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("legoclf.data.tfds_fetching.SOCKET_TIMEOUT_S", 0.2)
    monkeypatch.setattr("tensorflow_datasets.core.download.downloader.MAX_RETRIES", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        define_set(tfds, "SilentSet", f"http://127.0.0.1:{silent.getsockname()[1]}/images.zip")
        with pytest.raises(LegoclfError, match="tfds:silent_set: cannot be had .*timed out"):
            named_data_set("tfds:silent_set", tmp_path)


# -- Failures


@pytest.mark.usefixtures("tfds")
def test_without_a_network_one_line_says_what_to_bring_where_and_soon(tmp_path: Path) -> None:
    start = time.monotonic()
    done = run_retrain(tmp_path, "--dataset=tfds:beans", "--logging_verbosity=ERROR")
    assert time.monotonic() - start < 60
    assert done.returncode == 1, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("legoclf: ")]
    assert "tfds build beans --data_dir DIR" in line
    assert str(tmp_path / "cache" / "tensorflow_datasets" / "beans") in line
    assert done.stdout == ""
    assert not (tmp_path / "cache" / "datasets").exists()
    assert not (tmp_path / "home" / "tensorflow_datasets").exists()


@pytest.mark.slow
def test_a_classifier_is_trained_on_a_set_that_was_brought(tfds: Any, store: Store, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    examples = []
    for index in range(60):
        levels = random.integers(0, 60, (24, 24, 3)) + (index % 2) * 150
        examples.append({"image": levels.astype(np.uint8), "label": index % 2})
    store({"train": examples}, label=tfds.features.ClassLabel(names=["dark", "light"]))
    flags = ["--dataset=tfds:tiny", f"--bottleneck_dir={tmp_path / 'bottleneck'}", "--json"]
    for flag in ("output_graph", "output_labels", "summaries_dir", "checkpoint_path"):
        flags.append(f"--{flag}={tmp_path / flag}")
    done = run_retrain(tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels"] == ["dark", "light"]
    assert (tmp_path / "tfds-tiny.bundle" / "model.onnx").is_file()
