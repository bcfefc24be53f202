"""Which files below a folder count as images, and in which order."""

import os

import pytest

from legoclf.errors import LegoclfError
from legoclf.image import iter_image_files


def listed(folder):
    return [os.path.relpath(path, str(folder)).replace(os.sep, "/") for path in iter_image_files(str(folder))]


def make_files(folder, *names):
    for name in names:
        path = os.path.join(str(folder), *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")


def test_images_are_listed_at_every_depth_in_the_order_of_their_paths(tmp_path):
    make_files(tmp_path, "b/2.png", "b.jpg", "a/deep/er/1.webp", "a/z.bmp", "B.jpeg")
    assert listed(tmp_path) == ["B.jpeg", "a/deep/er/1.webp", "a/z.bmp", "b.jpg", "b/2.png"]


def test_extensions_count_in_any_case(tmp_path):
    make_files(tmp_path, "a.JPG", "b.Jpeg", "c.PnG")
    assert listed(tmp_path) == ["a.JPG", "b.Jpeg", "c.PnG"]


def test_files_of_the_system_and_files_that_are_no_images_are_left_out(tmp_path):
    make_files(tmp_path, ".hidden.jpg", ".git/a.jpg", "__MACOSX/a.jpg", "Thumbs.db", "notes.txt", "a.jpg")
    assert listed(tmp_path) == ["a.jpg"]


def test_photos_of_a_format_that_is_not_read_are_listed_so_that_they_are_told_of(tmp_path):
    make_files(tmp_path, "IMG_0001.HEIC")
    assert listed(tmp_path) == ["IMG_0001.HEIC"]


def test_names_with_blanks_and_letters_of_any_script_are_listed(tmp_path):
    make_files(tmp_path, "grüner Tee/茶 é.jpg")
    assert listed(tmp_path) == ["grüner Tee/茶 é.jpg"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    make_files(tmp_path, "elsewhere/far/x.jpg", "set/a.jpg")
    (tmp_path / "set" / "far").symlink_to(tmp_path / "elsewhere" / "far")
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set")
    (tmp_path / "elsewhere" / "far" / "back").symlink_to(tmp_path / "set")
    assert listed(tmp_path / "set") == ["a.jpg", "far/x.jpg"]


def test_a_dead_link_is_listed_so_that_it_is_told_of(tmp_path):
    (tmp_path / "dead.jpg").symlink_to(tmp_path / "gone.jpg")
    assert listed(tmp_path) == ["dead.jpg"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(LegoclfError, match=r"cannot list the folder .*gone"):
        listed(tmp_path / "gone")
