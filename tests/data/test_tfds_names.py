"""Names of TensorFlow Datasets: each set and each class has a folder of its own."""

import pytest

from legoclf.data.tfds_names import class_folders, tfds_folder_name
from legoclf.errors import UsageError


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
