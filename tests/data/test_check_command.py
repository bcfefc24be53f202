"""`legoclf data check`: a folder looked over, in words and as JSON."""

import argparse
import json
import os
import sys
from pathlib import Path

import pytest

from legoclf.data import check_command


@pytest.fixture
def check(capsys):
    """Run the command; its exit code and what it printed."""

    def run(*arguments):
        parser = argparse.ArgumentParser()
        check_command.add_arguments(parser)
        code = check_command.run(parser.parse_args(arguments))
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def damaged(make_set):
    root = make_set({"cat": 20, "dog": 20})
    whole = Path(root, "cat", "000.jpg").read_bytes()
    Path(root, "cat", "cut.jpg").write_bytes(whole[:-100])
    return root


def test_a_table_shows_the_images_of_each_class_in_each_set(check, make_set):
    code, out = check(make_set({"cat": 3, "big dog": 3}))
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert ["class", "images", "train", "validation", "test"] in lines
    assert ["big", "dog", "3", "1", "1", "1"] in lines


def test_warnings_are_printed(check, make_set):
    assert "warning: fewer than 20 images: 'cat' (3)" in check(make_set({"cat": 3, "dog": 20}))[1]


def test_an_image_that_cannot_be_used_is_printed_with_its_reason(check, damaged):
    code, out = check(damaged)
    assert code == 0
    assert f"skipped: {os.path.join(damaged, 'cat', 'cut.jpg')}: truncated" in out


def test_strict_fails_for_an_image_that_cannot_be_used_and_still_prints_it(check, damaged):
    code, out = check(damaged, "--strict")
    assert code == 1
    assert "cut.jpg: truncated" in out


def test_strict_is_content_with_good_images(check, make_set):
    assert check(make_set({"cat": 3, "dog": 3}), "--strict")[0] == 0


def test_json_is_one_object_with_all_that_the_text_says(check, damaged):
    found = json.loads(check(damaged, "--json")[1])
    assert [entry["label"] for entry in found["classes"]] == ["cat", "dog"]
    assert found["classes"][0]["images"] == 20
    assert found["rejected"] == [{"path": os.path.join(damaged, "cat", "cut.jpg"), "reason": "truncated"}]
    assert found["warnings"] == []
    assert len(found["fingerprint"]) == 64


def test_the_percentages_are_those_of_the_flags(check, make_set):
    root = make_set({"cat": 3, "dog": 3})
    found = json.loads(check(root, "--json", "--testing_percentage", "0")[1])
    assert [entry["test"] for entry in found["classes"]] == [0, 0]


def test_labels_can_be_lower_cased(check, make_set):
    found = json.loads(check(make_set({"Cat_A": 3, "Dog": 3}), "--json", "--lowercase_labels")[1])
    assert [entry["label"] for entry in found["classes"]] == ["cat a", "dog"]


def test_a_name_that_the_terminal_cannot_show_is_escaped(check, make_set, monkeypatch):
    class Terminal:
        encoding = "ascii"
        text = ""

        def write(self, text):
            self.text += text.encode("ascii").decode("ascii")

    terminal = Terminal()
    root = make_set({"茶": 3, "tea": 3})
    monkeypatch.setattr(sys, "stdout", terminal)
    parser = argparse.ArgumentParser()
    check_command.add_arguments(parser)
    check_command.run(parser.parse_args([root]))
    assert "\\u8336" in terminal.text
