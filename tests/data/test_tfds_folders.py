"""Images of TensorFlow Datasets become class folders: which, where, and as they are stored."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tfds_examples import Store, encoded, files_of

from legoclf.data.folder import scan_folder
from legoclf.data.named import named_data_set
from legoclf.data.tfds_folders import write_tfds_set
from legoclf.data.tfds_sets import open_tfds_set
from legoclf.errors import LegoclfError
from legoclf.image import read_image

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
