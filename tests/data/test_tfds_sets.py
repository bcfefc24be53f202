"""Data sets of TensorFlow Datasets become class folders: its own code reads what it wrote or makes up."""

import io
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
from PIL import Image

from legoclf.data.folder import scan_folder
from legoclf.data.named import named_data_set
from legoclf.data.tfds_sets import class_folders, open_tfds_set, tfds_folder_name, write_tfds_set
from legoclf.errors import LegoclfError, UsageError
from legoclf.image import read_image

Example = dict[str, Any]
Store = Callable[..., Path]


@pytest.fixture
def tfds(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def store(tfds: Any, tmp_path: Path) -> Store:
    """Write examples as TFDS does: ``store({"train": [...]}, label=...)`` gives the cache that holds them."""

    def write(splits: dict[str, list[Example]], name: str = "tiny", **features: Any) -> Path:
        given = {"image": tfds.features.Image(shape=(None, None, None)), **features}
        tfds.dataset_builders.store_as_tfds_dataset(
            name,
            "1.0.0",
            features=tfds.features.FeaturesDict(given),
            split_datasets={split: iter(enumerate(examples)) for split, examples in splits.items()},
            data_dir=tmp_path / "cache" / "tensorflow_datasets",
        )
        return tmp_path / "cache"

    return write


@pytest.fixture
def store_labelled(tfds: Any, store: Store) -> Store:
    """Likewise, of classes by name: ``store_labelled(["cat", "dog"], {"train": [0, 1, 1]})``."""

    def write(names: list[str], splits: dict[str, list[int]], name: str = "tiny") -> Path:
        random = np.random.default_rng(0)
        examples = {
            split: [{"image": encoded(random, "PNG"), "label": label} for label in labels]
            for split, labels in splits.items()
        }
        return store(examples, name, label=tfds.features.ClassLabel(names=names))

    return write


def encoded(random: np.random.Generator, format: str, mode: str = "RGB") -> bytes:  # noqa: A002
    """The file of a random image of 12 x 8 pixels."""
    channels = len(mode)
    pixels = random.integers(0, 256, (8, 12, channels), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(buffer, format)
    return buffer.getvalue()


def files_of(folder: Path) -> list[str]:
    """Relative paths of the images, without the number that each name ends in."""
    return sorted(
        str(path.relative_to(folder)).rpartition("-")[0] + path.suffix
        for path in folder.rglob("*")
        if path.suffix != ".json" and path.is_file()
    )


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


# -- Layout


def test_classes_are_named_as_the_set_names_them(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1], "test": [1]})
    folder = named_data_set("tfds:tiny", cache)
    assert files_of(folder) == ["test/dog/test.png", "train/cat/train.png", "train/dog/train.png"]


def test_a_validation_set_of_its_own_stays_one(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1] * 5, "validation": [0, 1]})
    data = scan_folder(str(named_data_set("tfds:tiny", cache)))
    assert sum(item.split == "validation" for item in data.images) == 2


def test_a_set_that_comes_unsplit_is_split_by_hash(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1] * 30})
    data = scan_folder(str(named_data_set("tfds:tiny", cache)))
    assert data.labels == ["cat", "dog"]
    assert {item.split for item in data.images} == {"train", "validation", "test"}


def test_a_test_set_without_labels_is_left_out(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1], "test": [-1, -1]})
    assert files_of(named_data_set("tfds:tiny", cache)) == ["cat/train.png", "dog/train.png"]


def test_a_split_of_another_kind_is_left_out(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1], "test": [0], "extra": [0, 1]})
    folder = named_data_set("tfds:tiny", cache)
    assert files_of(folder) == ["test/cat/test.png", "train/cat/train.png", "train/dog/train.png"]


def test_a_set_whose_images_have_no_label_is_refused(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"test": [-1]})
    with pytest.raises(LegoclfError, match="no image of it has a label"):
        named_data_set("tfds:tiny", cache)


def test_the_description_tells_the_version_and_counts(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1, 1], "test": [1]})
    described = json.loads((named_data_set("tfds:tiny", cache) / "data_set.json").read_text())
    assert described["version"] == "tiny/1.0.0"
    assert described["images"] == {"train": {"cat": 1, "dog": 2}, "test": {"dog": 1}}


def test_names_of_files_are_the_same_each_time(store_labelled: Store, tmp_path: Path) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1] * 20})
    source = open_tfds_set("tfds:tiny", cache)
    contents = []
    for name in ("first", "second"):
        write_tfds_set(source, tmp_path / name)
        paths = sorted((tmp_path / name).rglob("*.png"))
        contents.append({path.relative_to(tmp_path / name): path.read_bytes() for path in paths})
    assert contents[0] == contents[1]


# -- Images


@pytest.mark.parametrize(("format_", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("BMP", "bmp")])
def test_an_encoded_image_is_written_as_it_is(format_: str, suffix: str, tfds: Any, store: Store) -> None:
    data = encoded(np.random.default_rng(0), format_)
    cache = store({"train": [{"image": data, "label": 0}]}, label=tfds.features.ClassLabel(names=["cat"]))
    [path] = named_data_set("tfds:tiny", cache).rglob(f"*.{suffix}")
    assert path.read_bytes() == data


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_every_pixel_of_an_array_is_kept(mode: str, tfds: Any, store: Store) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, len(mode)), dtype=np.uint8)
    if mode == "L":
        pixels = pixels[..., :1]
    image = tfds.features.Image(shape=(None, None, pixels.shape[-1]))
    label = tfds.features.ClassLabel(names=["cat"])
    cache = store({"train": [{"image": pixels, "label": 0}]}, image=image, label=label)
    [path] = named_data_set("tfds:tiny", cache).rglob("*.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels.squeeze())


def test_an_image_of_a_format_that_is_not_read_becomes_png(tfds: Any, store: Store) -> None:
    data = encoded(np.random.default_rng(0), "GIF", "L")
    cache = store({"train": [{"image": data, "label": 0}]}, label=tfds.features.ClassLabel(names=["cat"]))
    [path] = named_data_set("tfds:tiny", cache).rglob("*.png")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(read_image(str(path)), expected)


def test_a_broken_image_is_left_out_and_told(
    tfds: Any, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    good = encoded(np.random.default_rng(0), "JPEG")
    examples = [{"image": good, "label": 0}, {"image": b"no image", "label": 0}]
    cache = store({"train": examples}, label=tfds.features.ClassLabel(names=["cat"]))
    assert files_of(named_data_set("tfds:tiny", cache)) == ["cat/train.jpg"]
    assert "1 images of train have no label or cannot be read" in caplog.text


# -- --images_a_class


def test_no_class_gets_more_than_was_asked_for(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0] * 5 + [1] * 9, "test": [0, 1, 1]})
    folder = named_data_set("tfds:tiny", cache, 2)
    counts = json.loads((folder / "data_set.json").read_text())["images"]
    assert counts == {"train": {"cat": 2, "dog": 2}, "test": {"cat": 1, "dog": 2}}


class Counted:
    """TFDS's builder; ``examples``: how many were read from it."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        self.examples = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)

    def as_dataset(self, **how: Any) -> "Counted":
        self._dataset = self._builder.as_dataset(**how)
        return self

    def as_numpy_iterator(self) -> Iterator[Any]:
        for example in self._dataset.as_numpy_iterator():
            self.examples += 1
            yield example


def test_reading_stops_when_every_class_is_full(store_labelled: Store, tmp_path: Path) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1] * 100})
    source = open_tfds_set("tfds:tiny", cache)
    counted = Counted(source.builder)
    write_tfds_set(source._replace(builder=counted), tmp_path / "few", 1)
    assert counted.examples < 100


# -- Names of classes


def test_a_name_that_is_a_path_is_one_folder() -> None:
    assert class_folders(["/a/airfield", "T-shirt/top"]) == ["a_airfield", "T-shirt_top"]


@pytest.mark.parametrize("name", ["..", ".", "", "///", " "])
def test_a_name_without_a_fit_letter_is_the_index(name: str) -> None:
    assert class_folders(["cat", name]) == ["cat", "class 1"]


def test_no_folder_is_hidden() -> None:
    assert class_folders([".net"]) == ["net"]


def test_names_that_differ_only_in_case_have_folders_that_differ_in_more() -> None:
    assert class_folders(["a", "A", "b"]) == ["a", "A-1", "b"]


def test_names_that_become_one_have_folders_of_their_own() -> None:
    assert len(set(class_folders(["a/b", "a:b", "a_b", "a_b-1"]))) == 4


# -- What is found where


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("tfds:beans", "tfds-beans"),
        ("tfds:beans:0.1.0", "tfds-beans-0.1.0"),
        ("tfds:cifar10_corrupted/fog_1", "tfds-cifar10_corrupted-fog_1"),
        ("tfds:cifar10_corrupted/fog_1:1.*.*", "tfds-cifar10_corrupted-fog_1-1.x.x"),
    ],
)
def test_each_config_and_version_has_a_folder_of_its_own(name: str, folder: str) -> None:
    assert tfds_folder_name(name) == folder


@pytest.mark.parametrize("name", ["tfds:", "tfds:../x", "tfds:a/b/c", "tfds:a:1", "tfds:a/b=1", "tfds:/a"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected tfds:NAME"):
        tfds_folder_name(name)


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
    monkeypatch.setattr("legoclf.data.tfds_sets.SOCKET_TIMEOUT_S", 0.2)
    monkeypatch.setattr("tensorflow_datasets.core.download.downloader.MAX_RETRIES", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        define_set(tfds, "SilentSet", f"http://127.0.0.1:{silent.getsockname()[1]}/images.zip")
        with pytest.raises(LegoclfError, match="tfds:silent_set: cannot be had .*timed out"):
            named_data_set("tfds:silent_set", tmp_path)


# -- Failures


def test_a_set_that_is_interrupted_leaves_nothing(
    store_labelled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1] * 5})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("legoclf.progress.Progress.advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        named_data_set("tfds:tiny", cache)
    assert list((cache / "datasets").iterdir()) == []


def test_files_that_are_damaged_are_named_with_the_mend(store_labelled: Store) -> None:
    cache = store_labelled(["cat", "dog"], {"train": [0, 1] * 5})
    [records] = (cache / "tensorflow_datasets").rglob("*.tfrecord*")
    records.write_bytes(records.read_bytes()[:-50])
    with pytest.raises(LegoclfError, match="cannot be read .* delete that folder"):
        named_data_set("tfds:tiny", cache)
    assert list((cache / "datasets").iterdir()) == []


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
