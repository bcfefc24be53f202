"""Class folders that retrain takes: what is written, what is refused, that nothing of the user's is lost."""

import os
import sys
import threading
import unicodedata

import numpy as np
import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.image import read_image
from legoclf.jetson.harvest import files
from legoclf.jetson.harvest.class_folders import DUPLICATE, ClassFolders, Rejected
from legoclf.jetson.harvest.names import new_group
from legoclf.split import SPLITS, split_of


def files_below(root):
    return sorted(
        os.path.relpath(os.path.join(folder, name), str(root))
        for folder, _, names in os.walk(str(root))
        for name in names
    )


@pytest.mark.parametrize("without", [(), ("cv2",)])
def test_a_picture_is_saved_as_it_was_seen(without, tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    for package in without:
        monkeypatch.setitem(sys.modules, package, None)
    picture = np.full((40, 60, 3), (200, 100, 30), np.uint8)
    relative = ClassFolders(str(tmp_path), ["brick"]).save("brick", picture, 1.7e9)
    monkeypatch.undo()
    rgb = read_image(str(tmp_path / relative))
    assert rgb.shape == (40, 60, 3)
    # JPEG of quality 95 keeps a plain colour to a level or two.
    assert np.abs(rgb.astype(int) - (30, 100, 200)).max() <= 3


def test_without_opencv_and_pillow_it_says_what_to_install(tmp_path, monkeypatch):
    for package in ("cv2", "PIL"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LegoclfError, match="pip install"):
        ClassFolders(str(tmp_path), ["brick"]).save("brick", np.zeros((9, 9, 3), np.uint8), 0)
    assert files_below(tmp_path) == []


def test_a_near_duplicate_is_rejected_within_its_class_alone(tmp_path, scene):
    folders = ClassFolders(str(tmp_path), ["a", "b"])
    assert isinstance(folders.save("a", scene(1), 0), str)
    rejected = folders.save("a", scene(1), 1)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == DUPLICATE
    assert isinstance(folders.save("a", scene(2), 2), str)
    assert isinstance(folders.save("b", scene(1), 3), str)


def test_a_near_duplicate_is_kept_on_request(tmp_path, scene):
    folders = ClassFolders(str(tmp_path), ["a"])
    for _ in range(2):
        assert isinstance(folders.save("a", scene(1), 0, keep_duplicate=True), str)


def test_pictures_of_an_earlier_run_count_as_duplicates_too(tmp_path, scene):
    ClassFolders(str(tmp_path), ["a"]).save("a", scene(1, 480, 640), 0)
    again = ClassFolders(str(tmp_path), ["a"])
    assert isinstance(again.save("a", scene(1, 480, 640), 1), Rejected)


def test_a_file_that_is_no_image_does_not_stop_the_comparison(tmp_path, scene):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.jpg").write_bytes(b"no image")
    assert isinstance(ClassFolders(str(tmp_path), ["a"]).save("a", scene(1), 0), str)
    assert (tmp_path / "a" / "broken.jpg").read_bytes() == b"no image"


def test_a_group_lies_in_one_set(tmp_path, scene):
    folders = ClassFolders(str(tmp_path), ["a"])
    for number in range(30):
        group = new_group(number)
        saved = [folders.save("a", scene(10 * number + each), number, group) for each in range(3)]
        assert len({split_of(path) for path in saved}) == 1


def test_pictures_of_one_group_are_numbered_and_never_collide(tmp_path, scene):
    folders = [ClassFolders(str(tmp_path), ["a"]) for _ in range(4)]
    group = new_group(0)
    saved = []

    def work(index):
        for number in range(5):
            saved.append(folders[index].save("a", scene(100 * index + number, 48, 64), 0, group))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(saved) == ["a/{}_nohash_{:03d}.jpg".format(group, number) for number in range(20)]
    assert files_below(tmp_path) == sorted(saved)


def test_without_links_on_the_file_system_files_are_moved(tmp_path, scene, monkeypatch):
    def no_link(source, target):
        raise OSError(files.errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    folders = ClassFolders(str(tmp_path), ["a"])
    group = new_group(0)
    saved = [folders.save("a", scene(number), 0, group) for number in range(2)]
    assert files_below(tmp_path) == saved
    with pytest.raises(FileExistsError):
        files.write_new(str(tmp_path), saved[0], b"other")


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    (tmp_path / "x").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        files.write_new(str(tmp_path), "x", b"other")
    assert (tmp_path / "x").read_bytes() == b"mine"
    assert files_below(tmp_path) == ["x"]


def test_a_full_disk_leaves_nothing_of_the_picture(tmp_path, scene, monkeypatch):
    def full(descriptor):
        raise OSError(files.errno.ENOSPC, "No space left on device")

    folders = ClassFolders(str(tmp_path), ["a"])
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LegoclfError, match="a: cannot be written: No space left on device"):
        folders.save("a", scene(1), 0)
    assert files_below(tmp_path) == []
    monkeypatch.undo()
    assert isinstance(folders.save("a", scene(1), 0), str)


def test_what_a_writer_left_that_was_killed_is_removed(tmp_path, scene):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".legoclf.999999999.ab12.tmp").write_bytes(b"half")
    saved = ClassFolders(str(tmp_path), ["a"]).save("a", scene(1), 0)
    assert files_below(tmp_path) == [saved]


def test_an_unknown_label_is_refused(tmp_path, scene):
    folders = ClassFolders(str(tmp_path), ["a", "b"])
    for label in ("c", "../a", "", "A"):
        with pytest.raises(UsageError, match="expected one of a, b"):
            folders.save(label, scene(1), 0)
    assert files_below(tmp_path) == []


def test_labels_that_differ_in_case_alone_are_refused(tmp_path):
    (tmp_path / "Brick").mkdir()
    with pytest.raises(UsageError, match="'brick' and 'Brick' differ in case alone"):
        ClassFolders(str(tmp_path), ["brick"])
    with pytest.raises(UsageError, match="differ in case alone"):
        ClassFolders(str(tmp_path), ["plate", "Plate"])
    with pytest.raises(UsageError, match="stands there twice"):
        ClassFolders(str(tmp_path), ["plate", "plate"])


def test_a_folder_with_a_decomposed_name_is_added_to(tmp_path, scene):
    name = unicodedata.normalize("NFD", "größe")
    (tmp_path / name).mkdir()
    ClassFolders(str(tmp_path), ["größe"]).save("größe", scene(1), 0)
    assert os.listdir(str(tmp_path)) == [name]


def test_a_class_whose_place_a_file_has_is_refused(tmp_path, scene):
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(LegoclfError, match="a: is a file, and no class folder"):
        ClassFolders(str(tmp_path), ["a"]).save("a", scene(1), 0)


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"mine")
    with pytest.raises(LegoclfError, match="x: cannot be made"):
        ClassFolders(str(tmp_path / "x"), ["a"])


def test_a_data_set_that_is_split_already_is_refused(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a").mkdir(parents=True)
    with pytest.raises(LegoclfError, match="is split into folders already.*give .*train"):
        ClassFolders(str(tmp_path), ["a"])
    assert ClassFolders(str(tmp_path / "train"), ["a"]).labels == ["a"]


def test_no_folder_is_made_before_its_first_picture(tmp_path):
    ClassFolders(str(tmp_path / "new"), ["a"])
    assert os.listdir(str(tmp_path / "new")) == []


def test_counts_follow_what_is_saved_and_what_the_user_changes(tmp_path, scene):
    (tmp_path / "old").mkdir()
    folders = ClassFolders(str(tmp_path), ["a"])
    assert folders.counts() == {"a": dict.fromkeys(SPLITS, 0), "old": dict.fromkeys(SPLITS, 0)}
    saved = folders.save("a", scene(1), 0)
    assert sum(folders.counts()["a"].values()) == 1
    os.unlink(str(tmp_path / saved))
    os.utime(
        str(tmp_path / "a"), (1, 1)
    )  # as a file system with coarse times may not show the change at once
    assert sum(folders.counts()["a"].values()) == 0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="legoclf.data is for Python 3.11")
def test_retrain_sees_the_same_images_in_the_same_sets(tmp_path, scene):
    from legoclf.data.folder import scan_folder

    folders = ClassFolders(str(tmp_path), ["a", "größe"])
    for number in range(24):
        folders.save(("a", "größe")[number % 2], scene(number, 48, 64), number)
    data = scan_folder(str(tmp_path))
    assert data.labels == ["a", "größe"]
    assert not data.rejected
    for index, label in enumerate(data.labels):
        found = [image.split for image in data.images if image.label_index == index]
        assert {split: found.count(split) for split in SPLITS} == folders.counts()[label]
