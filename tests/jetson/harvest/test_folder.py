"""The folder of harvested pictures: its cap, who may fill it, and what a kill or a full disk leaves."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson.harvest import files
from legoclf.jetson.harvest import folder as folder_module
from legoclf.jetson.harvest.folder import MARKER, HarvestFolder, list_stems, read_record
from legoclf.jetson.harvest.names import new_group, stem_of

RECORD = {
    "time": "2026-01-01T00:00:00.000Z",
    "reason": "unknown",
    "amount": 0.5,
    "label": "a",
    "probability": 0.5,
    "top": [],
}


def stem(number):
    return stem_of(new_group(number), 0)


def names(root):
    return sorted(name for name in os.listdir(str(root)) if name != MARKER)


def fill(folder, amounts, size=10000):
    """Add a picture of ``size`` bytes for each amount; their names."""
    stems = [stem(number) for number in range(len(amounts))]
    for each, amount in zip(stems, amounts):
        folder.add(each, b"j" * size, dict(RECORD, amount=amount))
    return stems


def test_each_picture_has_what_was_thought_beside_it(tmp_path):
    with HarvestFolder(str(tmp_path), 10**6) as folder:
        (only,) = fill(folder, [0.5])
    assert names(tmp_path) == [only + ".jpg", only + ".json"]
    assert read_record(str(tmp_path), only) == dict(RECORD, legoclf_harvest=1)


def test_a_full_folder_gives_up_the_surest_of_the_older_half(tmp_path):
    with HarvestFolder(str(tmp_path), 45000) as folder:  # room for four
        stems = fill(folder, [0.9, 0.3, 0.1, 0.2, 0.1])
    # Of the older half, 0.9 and 0.3, the surer one; the newest, surer still, has found room.
    assert list_stems(str(tmp_path)) == [stems[0], *stems[2:]]


def test_what_it_keeps_stays_within_the_cap(tmp_path):
    cap = 60000
    with HarvestFolder(str(tmp_path), cap) as folder:
        for number in range(40):
            folder.add(stem(number), b"j" * (1000 + 500 * number), RECORD)
            total = sum(os.stat(str(tmp_path / name)).st_size for name in names(tmp_path))
            assert total <= cap


def test_a_cap_that_was_lowered_holds_for_what_is_there(tmp_path):
    with HarvestFolder(str(tmp_path), 10**6) as folder:
        fill(folder, [0.5] * 6)
    with HarvestFolder(str(tmp_path), 25000) as folder:
        folder.add(stem(99), b"j" * 10000, RECORD)
    assert len(list_stems(str(tmp_path))) == 2


def test_a_picture_larger_than_the_cap_is_refused_and_nothing_given_up_for_it(tmp_path):
    with HarvestFolder(str(tmp_path), 25000) as folder:
        stems = fill(folder, [0.5, 0.5])
        with pytest.raises(LegoclfError, match="--harvest_mb allows 25000"):
            folder.add(stem(99), b"j" * 30000, RECORD)
    assert list_stems(str(tmp_path)) == stems


def test_the_number_of_pictures_has_a_cap_too(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "MOST_ITEMS", 3)
    with HarvestFolder(str(tmp_path), 10**6) as folder:
        fill(folder, [0.5] * 5, size=10)
    assert len(list_stems(str(tmp_path))) == 3


def test_files_of_others_are_neither_counted_nor_removed(tmp_path):
    with HarvestFolder(str(tmp_path), 10**6) as folder:
        fill(folder, [0.5])
    strangers = ["holiday.jpg", stem(5) + ".jpg", stem(6) + ".json", "notes.txt", ".legoclf.x"]
    for name in strangers:
        (tmp_path / name).write_bytes(b"mine" * 20000)
    with HarvestFolder(str(tmp_path), 15000) as folder:
        folder.add(stem(99), b"j" * 10000, RECORD)
    assert set(strangers) < set(names(tmp_path))
    assert len(names(tmp_path)) == len(strangers) + 2


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(LegoclfError, match="holds other files; give --harvest an empty or a new folder"):
        HarvestFolder(str(tmp_path), 10**6).__enter__()
    assert names(tmp_path) == ["holiday.jpg"]


def test_pictures_labelled_meanwhile_make_room(tmp_path):
    with HarvestFolder(str(tmp_path), 45000) as folder:
        stems = fill(folder, [0.5] * 4)
        for each in stems[:2]:
            folder_module.remove_item(str(tmp_path), each)
        later = [stem(number) for number in (10, 11)]
        for each in later:
            folder.add(each, b"j" * 10000, RECORD)
    assert list_stems(str(tmp_path)) == stems[2:] + later


def test_a_record_without_its_image_is_removed_at_the_next_start(tmp_path):
    with HarvestFolder(str(tmp_path), 10**6) as folder:
        first, second = fill(folder, [0.5, 0.5])
    os.unlink(str(tmp_path / (first + ".jpg")))
    (tmp_path / ".legoclf.999999999.ab12.tmp").write_bytes(b"half")
    with HarvestFolder(str(tmp_path), 10**6):
        assert names(tmp_path) == [second + ".jpg", second + ".json"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_full_disk_leaves_nothing_and_is_told_with_its_mend(failing, tmp_path, monkeypatch):
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(files.errno.ENOSPC, "No space left on device")

    with HarvestFolder(str(tmp_path), 10**6) as folder:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(LegoclfError, match="No space left on device; free some space"):
            fill(folder, [0.5])
        assert names(tmp_path) == []
        fill(folder, [0.5])
    assert len(names(tmp_path)) == 2


PROGRAM = """
import sys
from legoclf.jetson.harvest.folder import HarvestFolder
from legoclf.jetson.harvest.names import new_group, stem_of
record = {record!r}
with HarvestFolder(sys.argv[1], 300000) as folder:
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    for number in range(10 ** 9):
        folder.add(stem_of(new_group(number), 0), b"j" * 20000, record)
"""


@pytest.fixture
def writer(tmp_path):
    """A process that fills the folder without end."""
    pytest.importorskip("fcntl", reason="the lock is the system's")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(record=RECORD), str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=str(tmp_path.parent),
    )
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_processes_do_not_fill_one_folder(writer, tmp_path):
    with pytest.raises(LegoclfError, match="another `legoclf camera --harvest` fills it"):
        HarvestFolder(str(tmp_path), 10**6).__enter__()


def test_a_writer_that_is_killed_leaves_whole_pictures_and_a_folder_to_go_on_with(writer, tmp_path):
    time.sleep(0.3)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    with HarvestFolder(str(tmp_path), 300000) as folder:
        left = names(tmp_path)
        assert len(left) >= 2
        assert left == sorted(each + end for each in list_stems(str(tmp_path)) for end in (".jpg", ".json"))
        assert {os.stat(str(tmp_path / name)).st_size for name in left if name.endswith(".jpg")} == {20000}
        folder.add(stem(10**9), b"j" * 20000, RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100000,
        "\ud800",
        json.dumps(RECORD),
        json.dumps(dict(RECORD, legoclf_harvest=2)),
        json.dumps(dict(RECORD, legoclf_harvest=1, amount="0.5")),
        json.dumps(dict(RECORD, legoclf_harvest=1, amount=7)),
        json.dumps(dict(RECORD, legoclf_harvest=1, top={})),
        json.dumps(dict(RECORD, legoclf_harvest=1, reason=None)),
        json.dumps(dict(RECORD, legoclf_harvest=1, probability=float("nan"))),
    ],
)
def test_a_record_that_is_not_ours_or_damaged_is_none(text, tmp_path):
    (tmp_path / (stem(1) + ".json")).write_bytes(text.encode("utf-8", "surrogatepass"))
    assert [read_record(str(tmp_path), each) for each in list_stems(str(tmp_path))] == [None]
