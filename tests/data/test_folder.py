"""Class folders as users have them: what becomes a class, what is skipped, and what is said about it."""

import hashlib
import os
import shutil
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from legoclf.data.folder import check_data_set, scan_folder
from legoclf.data.images import Rejected
from legoclf.errors import ImageError, LegoclfError, UsageError


def splits(data):
    return {image.relative: image.split for image in data.images}


def only_warning(data, about):
    found = [warning for warning in data.warnings if about in warning]
    assert len(found) == 1, data.warnings
    return found[0]


def is_free_of(data, about):
    return not any(about in warning for warning in data.warnings)


# Classes


def test_every_folder_is_a_class_and_labels_are_sorted(make_set):
    data = scan_folder(make_set({"dog": 5, "cat": 4, "ant": 3}))
    assert data.labels == ["ant", "cat", "dog"]
    assert Counter(data.labels[image.label_index] for image in data.images) == {"dog": 5, "cat": 4, "ant": 3}


def test_folders_inside_a_class_belong_to_it(make_set):
    data = scan_folder(make_set({"cat/tabby/young": 3, "cat": 1, "dog": 3}))
    assert data.counts()["cat"] == {"train": 2, "validation": 1, "test": 1}


def test_labels_are_kept_as_written(make_set):
    assert scan_folder(make_set({"Brick 2x2 (Red)": 3, "grüne 茶 é": 3})).labels == [
        "Brick 2x2 (Red)",
        "grüne 茶 é",
    ]


def test_labels_can_be_lower_cased_as_retrain_py_did(make_set):
    data = scan_folder(make_set({"Brick_2x2": 3, "Plate 1x1": 3}), labels="lowercase")
    assert data.labels == ["brick 2x2", "plate 1x1"]


def test_a_label_is_the_same_from_a_file_system_that_decomposes_names(make_set):
    decomposed = unicodedata.normalize("NFD", "café")
    data = scan_folder(make_set({decomposed: 3, "tea": 3}))
    assert data.labels == [unicodedata.normalize("NFC", "café"), "tea"]


@pytest.mark.parametrize("extension", [".jpg", ".JPEG", ".Png", ".BMP", ".webp"])
def test_every_accepted_format_is_found_in_any_case(make_set, save_image, extension):
    root = make_set({"cat": 3, "dog": 3})
    save_image(Path(root, "cat", "one" + extension))
    data = check_data_set(scan_folder(root))
    assert sum(data.counts()["cat"].values()) == 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA"])
def test_images_of_every_colour_mode_are_accepted(make_set, mode):
    root = make_set({"cat": 3, "dog": 3})
    suffix = ".jpg" if mode == "CMYK" else ".png"
    Image.new("RGB", (8, 8), "teal").convert(mode).save(os.path.join(root, "cat", "one" + suffix))
    assert not check_data_set(scan_folder(root)).rejected


# Folders that need a word


def test_folders_whose_lower_cased_labels_collide_are_both_named(make_set):
    with pytest.raises(LegoclfError, match=r"'Brick 2x2', 'brick-2x2'.*leave out --lowercase_labels"):
        scan_folder(make_set({"Brick 2x2": 3, "brick-2x2": 3}), labels="lowercase")


def test_the_same_folders_do_not_collide_as_written(make_set):
    data = scan_folder(make_set({"Brick 2x2": 3, "brick-2x2": 3}))
    assert data.labels == ["Brick 2x2", "brick-2x2"]


def test_folders_that_look_alike_and_differ_in_unicode_form_collide(make_set):
    both = {unicodedata.normalize(form, "café"): 3 for form in ("NFC", "NFD")}
    with pytest.raises(LegoclfError, match=r"'caf\\xe9'.*rename one"):
        scan_folder(make_set(both))


def test_labels_that_differ_only_in_case_are_two_classes_with_a_warning(make_set):
    data = scan_folder(make_set({"Brick": 3, "brick": 3}))
    assert data.labels == ["Brick", "brick"]
    assert "'Brick', 'brick'" in only_warning(data, "upper and lower case")


def test_a_name_without_any_latin_letter_cannot_be_lower_cased_to_a_label(make_set):
    with pytest.raises(LegoclfError, match="leave out --lowercase_labels"):
        scan_folder(make_set({"茶": 3, "tea": 3}), labels="lowercase")


def test_an_empty_class_is_left_out_by_name(make_set):
    data = scan_folder(make_set({"cat": 3, "dog": 3, "empty": 0}))
    assert data.labels == ["cat", "dog"]
    assert "delete the folder" in only_warning(data, "'empty'")


def test_a_class_with_no_usable_image_is_left_out_by_name(make_set):
    root = make_set({"cat": 3, "dog": 3, "blank": 0})
    Path(root, "blank", "a.jpg").write_bytes(b"")
    data = scan_folder(root)
    assert data.labels == ["cat", "dog"]
    assert only_warning(data, "no usable image of 'blank'")


def test_one_class_alone_is_refused(make_set):
    with pytest.raises(LegoclfError, match=r"only one class with images, 'cat': add a folder"):
        scan_folder(make_set({"cat": 5}))


def test_the_folder_above_the_class_folders_is_recognised_as_a_likely_slip(make_set):
    with pytest.raises(LegoclfError, match=r"give .*photos.bricks"):
        scan_folder(make_set({"bricks/red": 3, "bricks/blue": 3}))


def test_images_without_class_folders_are_refused_with_the_layout_to_use(make_set, save_image):
    root = make_set({})
    save_image(Path(root, "a.jpg"))
    with pytest.raises(LegoclfError, match="IMAGE_DIR/<class>/<image>"):
        scan_folder(root)


def test_images_beside_the_class_folders_are_counted_in_a_warning(make_set, save_image):
    root = make_set({"cat": 3, "dog": 3})
    save_image(Path(root, "stray.jpg"))
    assert "stray.jpg" in only_warning(scan_folder(root), "lie directly in")


def test_a_folder_that_is_not_there_is_a_wrong_call(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        scan_folder(str(tmp_path / "gone"))


def test_a_file_for_a_folder_is_a_wrong_call(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(UsageError, match="is a file"):
        scan_folder(str(tmp_path / "photos.zip"))


def test_hidden_folders_are_no_classes(make_set):
    assert scan_folder(make_set({"cat": 3, "dog": 3, ".cache": 3, "__MACOSX": 3})).labels == ["cat", "dog"]


# The split


def test_a_class_of_three_images_has_one_in_every_set(make_set):
    data = scan_folder(make_set({"cat": 3, "dog": 3}))
    assert data.counts()["cat"] == {"train": 1, "validation": 1, "test": 1}


def test_a_class_of_two_images_only_trains_and_is_named(make_set):
    data = scan_folder(make_set({"cat": 2, "dog": 30}))
    assert data.counts()["cat"] == {"train": 2, "validation": 0, "test": 0}
    assert "'cat' (2 images)" in only_warning(data, "no test image")


def test_classes_of_few_images_are_named_and_large_ones_are_not(make_set):
    warning = only_warning(scan_folder(make_set({"cat": 19, "dog": 20})), "fewer than 20")
    assert "'cat' (19)" in warning
    assert "dog" not in warning


def test_a_moved_data_set_keeps_its_split(make_set, tmp_path):
    root = make_set({"cat": 40, "dog": 40})
    before = splits(scan_folder(root))
    shutil.move(root, tmp_path / "elsewhere")
    assert splits(scan_folder(str(tmp_path / "elsewhere"))) == before


def test_a_data_set_keeps_its_split_on_a_file_system_that_decomposes_names(make_set):
    composed = scan_folder(make_set({"café": 30, "tea": 3}, "composed"))
    decomposed = scan_folder(make_set({unicodedata.normalize("NFD", "café"): 30, "tea": 3}, "decomposed"))
    assert splits(composed) == splits(decomposed)


def test_fullpath_gives_the_split_of_retrain_py(make_set):
    root = make_set({"cat": 40, "dog": 40})
    expected = {}
    for label in ("cat", "dog"):
        for number in range(40):
            path = os.path.join(root, label, f"{number:03d}.jpg")
            percentage = int(hashlib.sha1(path.encode()).hexdigest(), 16) % 134217728 * (100.0 / 134217727)
            expected[path] = "validation" if percentage < 20 else "test" if percentage < 50 else "train"
    data = scan_folder(root, split_hash="fullpath", testing_percentage=30, validation_percentage=20)
    assert {image.path: image.split for image in data.images} == expected


def test_images_equal_up_to_nohash_are_in_one_set(make_set, save_image):
    root = make_set({"cat": 20, "dog": 3})
    for view in range(12):
        save_image(Path(root, "dog", f"rex_nohash_{view}.jpg"))
    data = scan_folder(root)
    assert len({image.split for image in data.images if "rex" in image.relative}) == 1


def test_a_class_of_one_nohash_group_is_named_as_it_cannot_be_tested(make_set, save_image):
    root = make_set({"cat": 20, "dog": 0})
    for view in range(5):
        save_image(Path(root, "dog", f"rex_nohash_{view}.jpg"))
    assert "`_nohash_`" in only_warning(scan_folder(root), "no test image of 'dog'")


def test_percentages_that_leave_nothing_to_train_on_are_a_wrong_call(make_set):
    with pytest.raises(UsageError, match="below 100"):
        scan_folder(make_set({"cat": 3, "dog": 3}), testing_percentage=60, validation_percentage=40)


# Data sets that come split


def test_train_val_and_test_folders_are_respected(make_set):
    counts = {"train/cat": 4, "train/dog": 5, "val/cat": 2, "val/dog": 2, "test/cat": 1, "test/dog": 1}
    data = scan_folder(make_set(counts))
    assert data.counts() == {
        "cat": {"train": 4, "validation": 2, "test": 1},
        "dog": {"train": 5, "validation": 2, "test": 1},
    }


@pytest.mark.parametrize("name", ["val", "Valid", "VALIDATION"])
def test_the_usual_names_of_the_validation_folder_are_known(make_set, name):
    data = scan_folder(
        make_set({"Train/cat": 3, "Train/dog": 3, f"{name}/cat": 2, f"{name}/dog": 2}), testing_percentage=0
    )
    assert data.counts()["cat"] == {"train": 3, "validation": 2, "test": 0}


def test_a_missing_validation_folder_is_made_up_from_training_images(make_set):
    data = scan_folder(make_set({"train/cat": 5, "train/dog": 5, "test/cat": 2, "test/dog": 2}))
    assert data.counts()["cat"]["validation"] >= 1
    assert data.counts()["cat"]["test"] == 2
    assert "10 % of the training images" in only_warning(data, "no folder for validation")


def test_a_class_missing_in_one_set_is_named(make_set):
    counts = {"train/cat": 3, "train/dog": 3, "val/cat": 1, "val/dog": 1, "test/cat": 1}
    assert "'dog'" in only_warning(scan_folder(make_set(counts)), "no test image")


def test_a_class_without_training_images_is_left_out_by_name(make_set):
    counts = {"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 1, "test/emu": 1}
    data = scan_folder(make_set(counts))
    assert data.labels == ["cat", "dog"]
    assert "left out" in only_warning(data, "no training image of 'emu'")


def test_two_folders_for_one_set_are_refused(make_set):
    with pytest.raises(LegoclfError, match=r"two folders for validation \('val', 'valid'\)"):
        scan_folder(make_set({"train/cat": 1, "train/dog": 1, "val/cat": 1, "valid/cat": 1}))


def test_classes_that_are_called_train_and_test_are_classes(make_set):
    assert scan_folder(make_set({"train": 3, "test": 3})).labels == ["test", "train"]


# Images that cannot be used


@pytest.fixture
def damaged(make_set):
    """Two classes of twelve good images, and in one a blank, a text and a truncated file besides."""
    root = make_set({"cat": 12, "dog": 12})
    Path(root, "cat", "blank.jpg").write_bytes(b"")
    Path(root, "cat", "text.jpg").write_text("not found\n")
    whole = Path(root, "dog", "000.jpg").read_bytes()
    Path(root, "cat", "cut.jpg").write_bytes(whole[:-60])
    return root


def reasons(data):
    return {os.path.basename(path): reason for path, reason in data.rejected}


def test_what_the_header_shows_is_rejected_at_the_scan(damaged):
    assert reasons(scan_folder(damaged)) == {
        "blank.jpg": "empty file (0 bytes)",
        "text.jpg": "not an image (starts like text)",
    }


def test_what_only_decoding_shows_is_rejected_by_the_full_check(damaged):
    assert reasons(check_data_set(scan_folder(damaged)))["cut.jpg"] == "truncated"


def test_an_image_that_fails_in_decoding_moves_no_other(damaged):
    scanned = scan_folder(damaged)
    before = splits(scanned)
    del before["cat/cut.jpg"]
    assert splits(check_data_set(scanned)) == before


def test_the_summary_counts_what_is_skipped_by_reason(damaged):
    summary = check_data_set(scan_folder(damaged)).summary()
    assert "2 classes, 24 images" in summary
    assert "3 skipped: 1 empty file (0 bytes), 1 not an image (starts like text), 1 truncated" in summary


def test_strict_refuses_what_the_header_shows(damaged):
    with pytest.raises(LegoclfError, match=r"2 image\(s\) cannot be used .*blank.jpg: empty file"):
        scan_folder(damaged, strict=True)


def test_strict_refuses_what_only_decoding_shows(damaged):
    with pytest.raises(LegoclfError, match=r"3 image\(s\) cannot be used .*cut.jpg: truncated"):
        check_data_set(scan_folder(damaged), strict=True)


def test_a_photo_of_a_phone_in_heic_is_told_of(make_set):
    root = make_set({"cat": 3, "dog": 3})
    Path(root, "cat", "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    assert "HEIC is not supported" in reasons(scan_folder(root))["IMG_1.HEIC"]


def test_a_png_that_is_named_jpg_is_fine(make_set, save_image):
    root = make_set({"cat": 3, "dog": 3})
    save_image(Path(root, "cat", "really_png.jpg"), format="PNG")
    assert not check_data_set(scan_folder(root)).rejected


def test_images_that_fail_later_can_be_dropped_by_their_errors(make_set):
    data = scan_folder(make_set({"cat": 5, "dog": 5}))
    dropped = next(image for image in data.images if image.split == "train")
    left = data.without([ImageError(dropped.path, "truncated")])
    assert dropped not in left.images
    assert left.rejected == [Rejected(dropped.path, "truncated")]
    assert len(data.images) == 10


def test_a_class_that_loses_its_last_test_image_is_named(make_set):
    data = scan_folder(make_set({"cat": 3, "dog": 3}))
    lost = [Rejected(image.path, "truncated") for image in data.by_split("test") if image.label_index == 0]
    assert "'cat'" in only_warning(data.without(lost), "can be read")


def test_a_class_that_loses_its_last_training_image_ends_the_work(make_set):
    data = scan_folder(make_set({"cat": 3, "dog": 3}))
    with pytest.raises(LegoclfError, match=r"no training image of 'cat', 'dog' can be read \(.*: truncated"):
        data.without(Rejected(image.path, "truncated") for image in data.by_split("train"))


# Contents


def test_one_picture_in_two_classes_is_named(make_set):
    root = make_set({"cat": 20, "dog": 20})
    shutil.copy(os.path.join(root, "cat", "000.jpg"), os.path.join(root, "dog", "copy.jpg"))
    assert "cat/000.jpg = dog/copy.jpg" in only_warning(scan_folder(root), "two classes")


def test_one_picture_in_two_sets_is_named(make_set):
    root = make_set({"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 1})
    shutil.copy(os.path.join(root, "train/cat/000.jpg"), os.path.join(root, "test/cat/copy.jpg"))
    assert "test/cat/copy.jpg = train/cat/000.jpg" in only_warning(scan_folder(root), "two sets")


def test_a_clean_data_set_gives_no_warning(make_set):
    assert scan_folder(make_set({"cat": 20, "dog": 20})).warnings == []


def test_the_fingerprint_is_that_of_the_content_wherever_it_lies(make_set, tmp_path):
    root = make_set({"cat": 3, "dog": 3})
    shutil.copytree(root, tmp_path / "copy")
    assert scan_folder(root).fingerprint == scan_folder(str(tmp_path / "copy")).fingerprint


def test_the_fingerprint_changes_with_one_image(make_set, save_image):
    root = make_set({"cat": 3, "dog": 3})
    before = scan_folder(root).fingerprint
    save_image(Path(root, "cat", "000.jpg"))
    assert scan_folder(root).fingerprint != before


def test_the_fingerprint_of_known_contents_is_that_of_the_files(make_set):
    data = scan_folder(make_set({"cat": 3, "dog": 3}))
    read = scan_folder(data.root).fingerprint
    data.know_contents([hashlib.sha256(Path(image.path).read_bytes()).hexdigest() for image in data.images])
    for image in data.images:
        os.unlink(image.path)
    assert data.fingerprint == read


def test_known_contents_are_not_those_of_fewer_images(make_set):
    data = scan_folder(make_set({"cat": 4, "dog": 4}))
    digests = [hashlib.sha256(Path(image.path).read_bytes()).hexdigest() for image in data.images]
    data.know_contents(digests)
    without = data.without([Rejected(data.images[0].path, "truncated")])
    fewer = replace(data, images=data.images[1:])
    fewer.know_contents(digests[1:])
    assert without.fingerprint == fewer.fingerprint != data.fingerprint


@pytest.mark.parametrize("ending", ["", "/", "//"])
def test_paths_are_relative_however_the_folder_is_written(ending, make_set, monkeypatch):
    root = make_set({"cat/tabby": 3, "dog": 3})
    expected = [image.relative for image in scan_folder(root).images]
    monkeypatch.chdir(root)
    assert expected[0] == "cat/tabby/000.jpg"
    for name in (".", f"../{Path(root).name}", str(Path(root, "cat", ".."))):
        assert [image.relative for image in scan_folder(name + ending).images] == expected


def test_nothing_in_the_users_folder_is_changed(damaged, state_of):
    before = state_of(damaged)
    assert check_data_set(scan_folder(damaged)).fingerprint
    assert state_of(damaged) == before
