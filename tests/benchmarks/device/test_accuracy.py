"""Accuracy: the held-out images are those that training tested on, and each is named by the device's path."""

import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import pytest
from PIL import Image

from legoclf.benchmarks.device.accuracy import held_out, name_images, recorded_note
from legoclf.bundle import Bundle
from legoclf.contract import unit_range_contract
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.runtime import Answers

LABELS = ["blue", "green", "red"]
COLOURS = {"blue": (20, 40, 230), "green": (20, 200, 40), "red": (230, 20, 20)}
SPLIT = {"split_hash": "relative", "testing_percentage": 30, "validation_percentage": 10}


def bundle(split: Optional[Dict[str, Any]] = SPLIT, **metrics: Any) -> Bundle:
    """What of a bundle is looked at."""
    provenance = {} if split is None else {"data_set": dict(split, name="x")}
    return Bundle("x.bundle", LABELS, unit_range_contract(16, 16), metrics, provenance, {})


def paint(folder: Path, images: int = 12) -> Path:
    """Class folders with small images of one colour each."""
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for index in range(images):
            Image.new("RGB", (8, 6), COLOURS[label]).save(str(folder / label / "{}.png".format(index)))
    return folder


def names(images: List[Tuple[str, int]], root: Path) -> List[str]:
    return sorted(Path(path).relative_to(root).as_posix() for path, _ in images)


def training_tests(root: Path, **settings: Any) -> List[str]:
    """The test set as training finds it."""
    folder = pytest.importorskip("legoclf.data.folder")
    data = folder.scan_folder(str(root), **settings)
    return sorted(image.relative for image in data.by_split("test"))


needs_training = pytest.mark.skipif(sys.version_info < (3, 11), reason="training needs Python 3.11")


@needs_training
@pytest.mark.parametrize("split_hash", ["relative", "fullpath"])
@pytest.mark.parametrize(("testing", "validation"), [(10, 10), (30, 10), (5, 0), (50, 25)])
def test_the_images_are_those_that_training_tests_on(
    tmp_path: Path, split_hash: str, testing: int, validation: int
) -> None:
    settings = {"split_hash": split_hash, "testing_percentage": testing, "validation_percentage": validation}
    root = paint(tmp_path / "photos")
    found = held_out(bundle(settings), str(root))
    assert names(found.images, root) == training_tests(root, **settings)
    assert all(Path(path).parent.name == LABELS[label] for path, label in found.images)


@needs_training
def test_images_that_cannot_be_used_are_left_out_before_the_split_as_in_training(tmp_path: Path) -> None:
    root = paint(tmp_path / "photos", images=4)
    for label in LABELS:  # without these, another image is moved to fill the test set
        (root / label / "1.png").write_bytes(b"no image")
        (root / label / "notes.txt").write_text("no image either")
    assert names(held_out(bundle(), str(root)).images, root) == training_tests(root, **SPLIT)


@needs_training
@pytest.mark.parametrize("folders", [("train", "test"), ("Training", "val", "Test"), ("train", "valid")])
def test_a_split_of_the_users_own_is_taken_as_training_takes_it(
    tmp_path: Path, folders: Tuple[str, ...]
) -> None:
    root = tmp_path / "photos"
    for name in folders:
        paint(root / name)
    assert names(held_out(bundle(), str(root)).images, root) == training_tests(root, **SPLIT)


@needs_training
def test_subfolders_and_retrains_lower_case_labels_are_found(tmp_path: Path) -> None:
    root = paint(tmp_path / "photos")
    (root / "red").rename(root / "RED")
    (root / "RED" / "more").mkdir()
    (root / "RED" / "5.png").rename(root / "RED" / "more" / "5.png")
    expected = training_tests(root, labels="lowercase", **SPLIT)
    assert names(held_out(bundle(), str(root)).images, root) == expected


def test_without_a_recorded_split_all_images_count_and_that_is_said(tmp_path: Path) -> None:
    found = held_out(bundle(split=None), str(paint(tmp_path / "photos", images=2)))
    assert len(found.images) == 6
    assert found.how == "all images of photos, for its training recorded no split"


def test_all_images_count_where_the_user_says_that_none_was_trained_on(tmp_path: Path) -> None:
    found = held_out(bundle(), str(paint(tmp_path / "photos", images=2)), every=True)
    assert len(found.images) == 6
    assert found.how == "all images of photos, as --all_images says"


def test_a_test_set_of_another_size_than_in_training_is_told(tmp_path: Path) -> None:
    root = str(paint(tmp_path / "photos"))
    count = len(held_out(bundle(), root).images)
    assert "not what it was" not in held_out(bundle(images={"test": count}), root).how
    assert "tested on 999, so the folder is not" in held_out(bundle(images={"test": 999}), root).how


def test_a_folder_without_a_test_image_names_the_mend(tmp_path: Path) -> None:
    none = dict(SPLIT, testing_percentage=0)
    with pytest.raises(LegoclfError, match="none of its images is in the test set .* --all_images"):
        held_out(bundle(none), str(paint(tmp_path / "photos")))


def test_a_folder_of_other_things_is_refused_with_the_labels_it_should_have(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    with pytest.raises(LegoclfError, match=r"folders named like the labels \(blue, green, red"):
        held_out(bundle(), str(tmp_path))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--image_dir: .*: no such folder"):
        held_out(bundle(), str(tmp_path / "gone"))


class NamesTheBrightest(object):
    """A runtime that goes by the largest channel of a BGR frame: blue, green, red."""

    def __init__(self) -> None:
        self.sequences: List[int] = []

    def classify(self, frame: Any) -> Answers:
        assert frame.pixel_format == "BGR"
        self.sequences.append(frame.sequence)
        return Answers(frame.image.reshape(-1, 3).mean(axis=0, dtype=np.float32)[None])


def test_each_image_counts_as_right_or_wrong_in_their_order(tmp_path: Path) -> None:
    root = paint(tmp_path / "photos", images=1)
    wrong = [(str(root / "red" / "0.png"), LABELS.index("blue"))]
    runtime: Any = NamesTheBrightest()
    named = name_images(runtime, [*held_out(bundle(None), str(root)).images, *wrong])
    assert named == ([1.0, 1.0, 1.0, 0.0], 0)
    assert max(runtime.sequences) < 0
    assert len(set(runtime.sequences)) == 4


def test_an_image_that_cannot_be_decoded_is_counted_and_no_more(tmp_path: Path) -> None:
    root = paint(tmp_path / "photos", images=1)
    whole = (root / "red" / "0.png").read_bytes()
    (root / "red" / "0.png").write_bytes(whole[:-20])  # its header is sound
    runtime: Any = NamesTheBrightest()
    assert name_images(runtime, held_out(bundle(None), str(root)).images) == ([1.0, 1.0], 1)


def test_where_no_image_can_be_decoded_the_first_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    runtime: Any = NamesTheBrightest()
    with pytest.raises(LegoclfError, match="no held-out image can be read; the first: .*a.png"):
        name_images(runtime, [(str(tmp_path / "a.png"), 0)])


def test_what_training_recorded_is_told_as_recorded() -> None:
    recorded = bundle(
        test_accuracy=0.885, test_accuracy_interval_95=[0.795, 0.938], images={"train": 5, "test": 78}
    )
    assert recorded_note(recorded) == (
        "accuracy: not measured; 88.5 % of 78 images (95 % interval 79.5 to 93.8 %) as recorded by its "
        "training; --image_dir measures it here"
    )
    assert "not recorded by its training" in recorded_note(bundle())
