"""`legoclf capture` end to end: frames made in memory or from a folder, keys through standard input."""

import json
import os
import subprocess
import sys

import pytest

from legoclf import cli
from legoclf.errors import UsageError
from legoclf.jetson import capture_command
from legoclf.jetson.harvest.class_folders import ClassFolders
from legoclf.jetson.harvest.keys import KEYS, TerminalKeys, draw_lines, keys_of

CAMERA = "synthetic://?width=160&height=120&fps=100"

PROGRAM = """
import logging, sys
from legoclf import cli
from legoclf.jetson import capture_command
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
sys.exit(capture_command.run(cli.parse("capture", capture_command, sys.argv[1:])))
"""


def capture(*arguments):
    return capture_command.run(cli.parse("capture", capture_command, list(arguments)))


@pytest.fixture
def photos(tmp_path, scene):
    """A folder of six photos, the last two alike."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        picture = scene(min(number, 4))[:, :, ::-1]
        image.fromarray(picture).save(str(folder / "{}.png".format(number)))
    return str(folder)


def saved(root):
    return {label: len(os.listdir(os.path.join(str(root), label))) for label in sorted(os.listdir(str(root)))}


def test_by_the_clock_it_takes_as_many_as_were_asked_for(tmp_path, capsys):
    code = capture(str(tmp_path), "--label", "brick", "--every_s", "0.01", "--count", "3", "--source", CAMERA)
    assert (code, saved(tmp_path)) == (0, {"brick": 3})
    assert "brick: 1 saved; 3 in all" in capsys.readouterr().out


def test_a_source_that_ends_before_the_count_is_a_failure_that_is_told(tmp_path, photos, caplog, capsys):
    with caplog.at_level("INFO"):
        code = capture(str(tmp_path / "d"), "--label", "a", "--count", "50", "--source", photos, "--json")
    assert code == 1
    assert "the source ended after 5 of 50 pictures" in caplog.text
    summary = json.loads(capsys.readouterr().out)
    assert (summary["saved"], summary["rejected"]["near-duplicate"]) == (5, 1)
    assert sum(summary["classes"]["a"].values()) == 5


def test_without_a_count_a_folder_is_taken_to_its_end(tmp_path, photos):
    assert capture(str(tmp_path / "d"), "--label", "a", "--source", photos) == 0
    assert saved(tmp_path / "d") == {"a": 5}


def test_keys_take_bursts_and_the_blank_repeats(tmp_path):
    arguments = ["--labels", "brick,plate", "--keys", "--burst", "2", "--interval_s", "0.02"]
    arguments += ["--keep_duplicates", "--source", CAMERA]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *arguments],
        input=b"1x2 q1",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=str(tmp_path.parent),
    )
    assert (done.returncode, saved(tmp_path)) == (0, {"brick": 2, "plate": 4}), done.stderr
    assert b"keys: 1 brick, 2 plate; space repeats, q ends" in done.stderr
    assert done.stdout.splitlines()[-2].split()[:2] == [b"brick", b"2"]


def test_a_terminal_gives_keys_without_enter_and_is_put_right_again(monkeypatch):
    pty = pytest.importorskip("pty")
    termios = pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with os.fdopen(theirs, "rb", buffering=0) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with TerminalKeys() as keys:
            pressed = []
            for sent in (b"1", b"\x1b[3~", b"a", b"\x1b"):  # in between the Delete key, which ends in no 3
                os.write(ours, sent)
                pressed.append(keys.poll(0.2 if sent.startswith(b"\x1b[") else 5))
        assert pressed == ["1", "", "a", "q"]
        assert termios.tcgetattr(theirs) == before
        os.close(ours)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "a", "--bundle", "x"], "both name the classes"),
        (["--count", "3"], "give --label too"),
        (["--label", "a", "--count", "0"], "--count: got 0"),
        (["--label", "a", "--every_s", "-1"], "--every_s: got -1"),
        (["--labels", "a,b", "--label", "c"], "expected one of --labels"),
        (["--labels", "a,../b"], "label '../b': has '/' in it"),
        (["--labels", "a,"], "label '': is empty"),
        (["--labels", "a", "--burst", "0"], "--burst: got 0"),
        ([], "has no class yet"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_written(arguments, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        capture(str(tmp_path), "--source", CAMERA, *arguments)
    assert os.listdir(str(tmp_path)) == []


def test_without_labels_those_of_the_folder_are_meant(tmp_path):
    for name in ("plate", "brick", ".hidden"):
        (tmp_path / name).mkdir()
    args = cli.parse("capture", capture_command, [str(tmp_path)])
    assert capture_command.wanted_labels(args) == ["brick", "plate"]


def test_a_label_of_the_clock_may_be_a_new_class(tmp_path):
    (tmp_path / "plate").mkdir()
    args = cli.parse("capture", capture_command, [str(tmp_path), "--label", "brick"])
    assert capture_command.wanted_labels(args) == ["brick"]


def test_each_label_has_a_key_and_those_that_mean_something_else_are_left_out():
    labels = ["label {}".format(number) for number in range(len(KEYS))]
    keys = keys_of(labels)
    assert list(keys.values()) == labels
    assert not {"q", " "} & set(keys)
    with pytest.raises(UsageError, match="there are keys for 34"):
        keys_of([*labels, "one more"])


def test_lines_are_drawn_into_a_copy(scene):
    pytest.importorskip("cv2")
    picture = scene(1)
    before = picture.copy()
    canvas = draw_lines(picture, ["1  brick  3", "größe\n"])
    assert (picture == before).all()
    assert canvas.shape == picture.shape
    assert (canvas != picture).any()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="legoclf.data is for Python 3.11")
def test_what_was_captured_is_a_data_set_that_retrain_can_read(tmp_path, scene):
    from PIL import Image

    from legoclf.data.folder import check_data_set, scan_folder

    for index, label in enumerate(("brick", "plate")):
        photos = tmp_path / ("of " + label)
        photos.mkdir()
        for number in range(12):
            Image.fromarray(scene(100 * index + number)).save(str(photos / "{:02d}.png".format(number)))
        assert capture(str(tmp_path / "d"), "--label", label, "--source", str(photos)) == 0
    data = check_data_set(scan_folder(str(tmp_path / "d")))
    assert (data.labels, len(data.images), data.rejected) == (["brick", "plate"], 24, [])
    counts = ClassFolders(str(tmp_path / "d"), ["brick", "plate"]).counts()
    for index, label in enumerate(data.labels):
        splits = [image.split for image in data.images if image.label_index == index]
        assert {split: splits.count(split) for split in counts[label]} == counts[label]
