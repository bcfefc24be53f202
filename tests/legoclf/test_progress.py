"""Progress elsewhere than on a terminal: plain lines, few of them."""

import logging

import pytest

from legoclf import progress
from legoclf.progress import Progress


def test_the_end_is_one_line_with_count_and_time(caplog):
    caplog.set_level(logging.INFO)
    with Progress("reading", 3) as shown:
        for _ in range(3):
            shown.advance()
    (line,) = caplog.messages
    assert line.startswith("reading: 3 images in ")


def test_between_there_is_a_line_every_so_often_with_the_pace(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with Progress("rendering", 8, "bricks") as shown:
        shown.advance(2)
    assert caplog.messages[0].startswith("rendering: 2 of 8 bricks (")
    assert "s left)" in caplog.messages[0]


def test_work_that_fails_does_not_claim_to_be_done(caplog):
    caplog.set_level(logging.INFO)

    def fail():
        with Progress("reading", 3) as shown:
            shown.advance()
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        fail()
    assert caplog.messages == []


def test_work_of_unknown_length_tells_how_far_and_how_it_stands(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with Progress("training the head", None, "iterations") as shown:
        shown.advance(note="loss 0.310")
    assert caplog.messages[0].startswith("training the head: 1 iterations (")
    assert caplog.messages[0].endswith("/s, loss 0.310)")


def test_slow_work_tells_its_pace_in_parts_and_the_rest_in_minutes(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress("fine-tuning", 301, "steps") as shown:
        now[0] = 2.4
        shown.advance()
    assert caplog.messages[0] == "fine-tuning: 1 of 301 steps (0.42/s, 12 min left)"
