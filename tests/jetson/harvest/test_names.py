"""Labels that can be folders anywhere, and files whose names keep a burst together."""

import pytest

from legoclf.errors import UsageError
from legoclf.jetson.harvest.names import GROUP_SECONDS, Groups, check_label, is_stem, new_group, stem_of
from legoclf.split import group_of


@pytest.mark.parametrize("label", ["brick", "Brick 2x4", "Stein-rot", "2", "größe", "レゴ", "a.b", "console"])
def test_a_plain_name_is_a_label_as_it_stands(label):
    assert check_label(label) == label


def test_a_decomposed_name_is_composed():
    assert check_label("gro\u0308sse") == "gr\u00f6sse"


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        (".", "would be a hidden folder"),
        ("..", "would be a hidden folder"),
        (".git", "would be a hidden folder"),
        ("__MACOSX", "would be a hidden folder"),
        ("a/b", "has '/' in it"),
        ("../a", "has '/' in it"),
        ("a\\b", "has '\\\\\\\\' in it"),
        ("c:", "has ':' in it"),
        ("a\0b", "has '\\\\x00' in it"),
        ("a\nb", "has '\\\\n' in it"),
        ("\u202etxt", "has '\\\\u202e' in it"),
        ("\udcff", "is not valid UTF-8"),
        ("a" * 256, "has 256 bytes"),
        ("\u00fc" * 128, "has 256 bytes"),
        ("CON", "name of a device on Windows"),
        ("nul.txt", "name of a device on Windows"),
        ("Lpt1", "name of a device on Windows"),
        (" a", "begins or ends with a blank"),
        ("a.", "ends with a dot"),
        ("a_nohash_b", "the whole class into one set"),
    ],
)
def test_a_name_that_is_no_safe_folder_is_refused_in_one_line(label, reason):
    with pytest.raises(UsageError, match=reason) as error:
        check_label(label)
    assert str(error.value).isprintable()


def test_names_sort_by_time_to_the_millisecond():
    times = [0.0, 1.001, 1.002, 1e9, 1.7e9]
    names = [new_group(time_s) for time_s in times]
    assert names == sorted(names)
    assert names[1].startswith("19700101T000001001-")


def test_two_groups_of_one_moment_have_different_names():
    assert new_group(5.0) != new_group(5.0)


def test_the_group_is_what_the_split_hashes():
    group = new_group(5.0)
    assert group_of("brick/" + stem_of(group, 12) + ".jpg") == "brick/" + group


def test_only_a_whole_name_is_a_stem():
    stem = stem_of(new_group(1.7e9), 3)
    assert is_stem(stem)
    bad = [
        "",
        "..",
        stem + "\n",
        stem + ".jpg",
        "../" + stem,
        stem + "\0",
        stem[1:],
        " " + stem,
        None,
        7,
        b"x",
    ]
    assert not any(is_stem(each) for each in bad)


def test_pictures_of_two_seconds_are_one_group_and_later_ones_another():
    groups = Groups()
    first = groups.at(10.0, 1000.0)
    assert groups.at(10.0 + GROUP_SECONDS * 0.99, 1002.0) == first
    assert groups.at(10.0 + GROUP_SECONDS, 1002.0) != first
