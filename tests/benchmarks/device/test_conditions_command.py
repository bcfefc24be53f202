"""The command in a published result: what a reader needs to repeat it, and nothing private."""

import pytest

from legoclf.benchmarks.device.conditions_command import shown_command


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("bricks.bundle", "bricks.bundle"),
        ("runs/bricks.bundle", "runs/bricks.bundle"),
        ("/home/ada/lego/bricks.bundle", "~/lego/bricks.bundle"),
        ("/home/ada", "~"),
        ("/home/adalbert/x", "x"),
        ("/srv/Customer Inc/x.bundle/", "x.bundle"),
        ("--output=/srv/customer/a.json", "--output=a.json"),
        ("--output=/home/ada/a.json", "--output=~/a.json"),
        ("/home/ada/my photos/a b", "~/'my photos/a b'"),
        ("two words", "'two words'"),
        ("/", "/"),
        ("file:///home/ada/film.mp4?loop=1", "'file://~/film.mp4?loop=1'"),
        ("file:///srv/customer/film.mp4", "file://film.mp4"),
        ("v4l2:///dev/video0", "v4l2:///dev/video0"),
        ("/dev/video0", "/dev/video0"),
        ("synthetic://?width=64&height=48", "'synthetic://?width=64&height=48'"),
        ("--source=rtsp://ada:se/cret@cam/1", "--source=rtsp://ada:se/cret@cam/1"),
        ("rtsp://ada:s3cr@t@cam.local/1#latency=100", "'rtsp://***@cam.local/1#latency=100'"),
        (
            "filesrc location=/srv/customer/film.mp4 ! decodebin ! video/x-raw",
            "'filesrc location=film.mp4 ! decodebin ! video/x-raw'",
        ),
    ],
)
def test_a_word_is_shown_without_what_is_private(word: str, shown: str) -> None:
    assert shown_command([word], home="/home/ada") == shown


def test_the_words_are_joined_as_a_shell_takes_them() -> None:
    words = ["/opt/venv/bin/legoclf", "benchmark", "/home/ada/x.bundle", "--batch", "1,2"]
    assert shown_command(words, home="/home/ada/") == "legoclf benchmark ~/x.bundle --batch 1,2"


def test_without_a_home_folder_only_names_are_kept() -> None:
    assert shown_command(["/srv/x.bundle"], home="/") == "x.bundle"
