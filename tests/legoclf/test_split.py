"""Which images train, validate and test: retrain.py's hash, and no class left without a set."""

import hashlib
import unicodedata
from collections import Counter

import pytest

from legoclf.errors import UsageError
from legoclf.split import (
    FULLPATH,
    check_percentages,
    clean_label,
    percentage_of,
    split_class,
    split_of,
)


def names(count, folder="brick"):
    return ["{}/{:04d}.jpg".format(folder, number) for number in range(count)]


def sets_of(paths, **options):
    return Counter(split_class(paths, **options).values())


# The hash


# The last seven digits of `printf PATH | sha1sum`: 28 bits, of which retrain.py took 27.
@pytest.mark.parametrize(
    ("path", "last_28_bits"),
    [
        ("photos/daisy/a.jpg", 0x3943EA7),
        ("photos/daisy/b.jpg", 0x3F2B95D),
        ("/data/flowers/rose/img_7.jpg", 0x369C581),
    ],
)
def test_the_hash_is_that_of_retrain_py(path, last_28_bits):
    assert percentage_of(path) == pytest.approx((last_28_bits % 134217728) * 100.0 / 134217727)


def test_the_known_split_of_known_paths_stays():
    known = {
        "photos/daisy/img_0.jpg": "train",
        "photos/daisy/img_17.jpg": "validation",
        "photos/daisy/img_36.jpg": "test",
        "photos/daisy/img_47.jpg": "validation",
        "photos/daisy/img_64.jpg": "test",
        "photos/daisy/img_66.jpg": "train",
    }
    assert {path: split_of(path, 10, 10, FULLPATH) for path in known} == known


def test_the_smallest_hashes_validate_the_next_ones_test_and_the_rest_trains():
    for path in names(300):
        percentage = percentage_of(path)
        expected = "validation" if percentage < 15 else "test" if percentage < 40 else "train"
        assert split_of(path, testing_percentage=25, validation_percentage=15) == expected


def test_the_parts_come_near_the_percentages():
    sizes = sets_of(names(5000))
    assert abs(sizes["validation"] - 500) < 80
    assert abs(sizes["test"] - 500) < 80


def test_what_follows_nohash_does_not_count():
    splits = {split_of("brick/photo_nohash_{}.jpg".format(number)) for number in range(50)}
    assert len(splits) == 1


def test_a_name_composed_or_decomposed_gives_the_same_split():
    for number in range(100):
        path = "grün/é{}.jpg".format(number)
        assert split_of(unicodedata.normalize("NFD", path)) == split_of(unicodedata.normalize("NFC", path))


def test_the_full_path_is_hashed_letter_by_letter():
    path = unicodedata.normalize("NFD", "/photos/grün/é.jpg")
    expected = int(hashlib.sha1(path.encode("utf-8")).hexdigest(), 16) % 2**27 * 100.0 / (2**27 - 1)
    bounds = [(expected / 2, "train"), (expected / 2 + 50, "validation")]
    assert [split_of(path, 0, bound, FULLPATH) for bound, _ in bounds] == [split for _, split in bounds]


def test_a_name_that_is_not_utf8_has_a_split():
    assert split_of(b"brick/\xff.jpg".decode("utf-8", "surrogateescape")) in ("train", "validation", "test")


# Whole classes


@pytest.mark.parametrize("count", [3, 4, 5, 8, 13])
def test_a_class_of_three_images_or_more_has_one_in_every_set(count):
    for folder in range(100):
        assert set(split_class(names(count, str(folder)))) == set(names(count, str(folder)))
        assert len(sets_of(names(count, str(folder)))) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_of_one_or_two_images_only_trains(count):
    for folder in range(50):
        assert set(sets_of(names(count, str(folder)))) == {"train"}


def test_a_class_with_no_image_has_no_split():
    assert split_class([]) == {}


def test_a_large_class_is_split_by_hash_alone():
    assert split_class(names(300)) == {path: split_of(path) for path in names(300)}


def test_the_split_does_not_depend_on_the_order_of_the_images():
    for folder in range(50):
        paths = names(4, str(folder))
        assert split_class(paths) == split_class(reversed(paths))


def test_the_image_nearest_to_the_bound_fills_an_empty_set():
    def is_all_train(paths):
        return all(percentage_of(path) >= 20 for path in paths)

    paths = next(p for p in (names(5, str(folder)) for folder in range(1000)) if is_all_train(p))
    nearest, second = sorted(paths, key=percentage_of)[:2]
    splits = split_class(paths)
    assert splits[nearest] == "validation"
    assert splits[second] == "test"


def test_training_is_not_left_empty():
    for folder in range(200):
        assert sets_of(names(3, str(folder)), testing_percentage=50, validation_percentage=49)["train"] == 1


@pytest.mark.parametrize(("testing", "validation", "empty"), [(0, 10, "test"), (10, 0, "validation")])
def test_a_set_of_no_percent_stays_empty(testing, validation, empty):
    for folder in range(100):
        sizes = sets_of(names(5, str(folder)), testing_percentage=testing, validation_percentage=validation)
        assert sizes[empty] == 0


def test_a_nohash_group_is_never_torn():
    for folder in range(200):
        paths = ["{}/{}_nohash_{}.jpg".format(folder, thing, view) for thing in "abc" for view in range(3)]
        splits = split_class(paths)
        for thing in range(3):
            assert len({splits[path] for path in paths[thing * 3 : thing * 3 + 3]}) == 1
        assert len(set(splits.values())) == 3


def test_a_class_that_is_one_nohash_group_trains():
    for folder in range(50):
        paths = ["{}/a_nohash_{}.jpg".format(folder, view) for view in range(9)]
        assert set(sets_of(paths)) == {"train"}


# Percentages and labels


@pytest.mark.parametrize(("testing", "validation"), [(50, 50), (90, 20)])
def test_percentages_that_leave_nothing_to_train_on_are_refused(testing, validation):
    with pytest.raises(UsageError, match="leave no image to train on"):
        check_percentages(testing, validation)


@pytest.mark.parametrize("percentage", [-1, 100, float("nan")])
def test_a_percentage_out_of_range_is_refused_by_its_flag(percentage):
    with pytest.raises(UsageError, match="--testing_percentage"):
        check_percentages(percentage, 10)


def test_a_clean_label_is_that_of_retrain_py():
    assert clean_label("Brick_2x2 (RED)") == "brick 2x2 red "
