"""Looking harvested pictures through: what is listed, labelled, discarded; ids that are none."""

import os

import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.harvest.class_folders import ClassFolders
from legoclf.jetson.harvest.folder import HarvestFolder
from legoclf.jetson.harvest.harvest import Harvest, UnknownItem
from legoclf.jetson.harvest.names import new_group, stem_of
from legoclf.split import group_of

JPEG = b"\xff\xd8 a picture"


@pytest.fixture
def stems(tmp_path):
    """Three pictures in tmp_path/harvested, the oldest first."""
    made = [stem_of(new_group(number), number) for number in range(3)]
    with HarvestFolder(str(tmp_path / "harvested"), 10**6) as folder:
        for number, stem in enumerate(made):
            record = {
                "time": "1970-01-01T00:00:0{}.000Z".format(number),
                "reason": "uncertain",
                "amount": 0.75,
                "label": "brick",
                "probability": 0.5,
                "top": [{"label": "brick", "probability": 0.5}, {"label": "plate", "probability": 0.25}],
                "smoothed": [0.5, 0.25, 0.25],
            }
            folder.add(stem, JPEG + bytes([number]), record)
    return made


@pytest.fixture
def harvest(tmp_path, stems):
    return Harvest(str(tmp_path / "harvested"))


@pytest.fixture
def folders(tmp_path):
    return ClassFolders(str(tmp_path / "bricks"), ["brick", "plate"])


def test_the_newest_comes_first_with_what_the_model_thought(harvest, stems):
    items = harvest.items()
    assert [item.id for item in items] == stems[::-1]
    newest = items[0]
    assert (newest.reason, newest.when, newest.label, newest.probability) == (
        "uncertain",
        "1970-01-01T00:00:02.000Z",
        "brick",
        0.5,
    )
    assert newest.top == [("brick", 0.5), ("plate", 0.25)]
    assert newest.record["smoothed"] == [0.5, 0.25, 0.25]


def test_a_listing_is_bounded_and_goes_on_where_the_last_ended(harvest, stems):
    (first,) = harvest.items(most=1)
    rest = harvest.items(before=first.id)
    assert [first.id] + [item.id for item in rest] == stems[::-1]


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    harvest = Harvest(str(tmp_path / "none"))
    assert (harvest.items(), harvest.count()) == ([], 0)


def test_a_picture_is_given_as_it_lies_there(harvest, stems):
    assert harvest.image(stems[1]) == JPEG + b"\x01"


def test_a_labelled_picture_moves_into_its_class_under_its_own_name(harvest, stems, folders, tmp_path):
    relative = harvest.label(stems[1], "plate", folders)
    assert relative == "plate/{}.jpg".format(stems[1])
    assert group_of(relative) == "plate/" + group_of(stems[1])
    assert (tmp_path / "bricks" / relative).read_bytes() == JPEG + b"\x01"
    assert [item.id for item in harvest.items()] == [stems[2], stems[0]]
    assert sorted(os.listdir(harvest.root))[1:] == sorted(
        stem + end for stem in (stems[0], stems[2]) for end in (".jpg", ".json")
    )


def test_a_labelled_picture_is_counted(harvest, stems, folders):
    folders.counts()
    harvest.label(stems[0], "plate", folders)
    assert sum(folders.counts()["plate"].values()) == 1


def test_a_discarded_picture_is_gone(harvest, stems):
    harvest.discard(stems[0])
    assert [item.id for item in harvest.items()] == [stems[2], stems[1]]
    with pytest.raises(UnknownItem):
        harvest.image(stems[0])


def test_labelling_that_was_killed_midway_is_ended_by_doing_it_again(harvest, stems, folders):
    folders.adopt("brick", stems[0], harvest.image(stems[0]))
    harvest.label(stems[0], "brick", folders)
    assert harvest.count() == 2


def test_a_picture_of_the_user_with_the_same_name_is_not_replaced(harvest, stems, folders, tmp_path):
    (tmp_path / "bricks" / "brick").mkdir()
    place = tmp_path / "bricks" / "brick" / (stems[0] + ".jpg")
    place.write_bytes(b"mine")
    with pytest.raises(LegoclfError, match="another picture has this name"):
        harvest.label(stems[0], "brick", folders)
    assert place.read_bytes() == b"mine"
    assert harvest.count() == 3


def test_an_unknown_label_leaves_the_picture_where_it_is(harvest, stems, folders):
    with pytest.raises(UsageError, match="expected one of brick, plate"):
        harvest.label(stems[0], "../../etc", folders)
    assert harvest.count() == 3


@pytest.mark.parametrize(
    "id_",
    [
        "",
        ".",
        "..",
        "../secret",
        "/etc/passwd",
        "secret",
        "secret.jpg",
        "a\0b",
        "%2e%2e%2fsecret",
        "19700101T000000000-00000000_nohash_000",
        "\ud800",
        None,
        7,
    ],
)
@pytest.mark.parametrize("call", ["image", "label", "discard"])
def test_an_id_that_names_no_picture_is_unknown(call, id_, harvest, folders, tmp_path):
    (tmp_path / "harvested" / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    arguments = ("brick", folders) if call == "label" else ()
    with pytest.raises(UnknownItem, match="no harvested picture") as error:
        getattr(harvest, call)(id_, *arguments)
    assert str(error.value).isprintable()
    assert (tmp_path / "secret.jpg").exists()
    assert (tmp_path / "harvested" / "secret.jpg").exists()


@pytest.mark.parametrize("extension", [".jpg", ".json"])
def test_a_link_out_of_the_folder_is_not_followed(extension, harvest, stems, tmp_path):
    path = tmp_path / "harvested" / (stems[0] + extension)
    outside = tmp_path / "outside"
    os.rename(str(path), str(outside))
    os.symlink(str(outside), str(path))
    with pytest.raises(UnknownItem):
        harvest.image(stems[0])


def test_an_item_that_is_being_written_or_removed_is_not_listed(harvest, stems):
    os.unlink(os.path.join(harvest.root, stems[0] + ".jpg"))
    os.unlink(os.path.join(harvest.root, stems[1] + ".json"))
    assert [item.id for item in harvest.items()] == [stems[2]]
