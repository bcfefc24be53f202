"""What is installed, by the metadata that pip, Debian and Ubuntu leave."""

import pytest

from legoclf.jetson.doctor.packages import Installed, find_installed, find_modules, version_numbers


@pytest.fixture
def folders(tmp_path):
    """A user's folder before the system's, as on sys.path."""
    entries = {
        "user": ["numpy-1.19.5.dist-info", "opencv_python-4.5.5.64.dist-info", "cv2", "legoclf.egg-info"],
        "system": [
            "numpy-1.13.3.egg-info",
            "PyYAML-3.12-py3.6.egg-info",
            "cv2.cpython-36m-aarch64-linux-gnu.so",
        ],
    }
    for folder, names in entries.items():
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
    return [str(tmp_path / "user"), str(tmp_path / "system")]


def test_the_first_on_the_path_comes_first(folders):
    assert find_installed(folders)["numpy"] == [
        Installed("1.19.5", folders[0], "numpy"),
        Installed("1.13.3", folders[1], "numpy"),
    ]


def test_names_are_as_pip_takes_them(folders):
    assert sorted(find_installed(folders)) == ["numpy", "opencv-python", "pyyaml"]


def test_the_version_does_not_have_the_pythons_with_it(folders):
    assert find_installed(folders)["pyyaml"][0].version == "3.12"


def test_a_folder_that_is_twice_on_the_path_counts_once(folders):
    assert len(find_installed(folders + folders)["numpy"]) == 2


def test_what_is_no_folder_is_passed_over(folders, tmp_path):
    assert find_installed([str(tmp_path / "no"), str(tmp_path / "brick.pyz")]) == {}


def test_every_place_of_a_module_is_found(folders):
    assert find_modules(folders, "cv2") == folders


def test_a_name_that_only_begins_so_is_another_module(tmp_path):
    (tmp_path / "cv2_extras").mkdir()
    (tmp_path / "cv2.txt").write_text("")
    assert find_modules([str(tmp_path)], "cv2") == []


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("1.13.3", (1, 13, 3)),
        ("10.3.0.26", (10, 3, 0, 26)),
        ("1.19.5rc1", (1, 19, 5)),
        ("4.x", (4,)),
        ("", ()),
    ],
)
def test_versions_are_compared_by_their_numbers(version, numbers):
    assert version_numbers(version) == numbers
