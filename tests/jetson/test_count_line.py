"""The flag of the line that objects must cross."""

import pytest

from legoclf.errors import UsageError
from legoclf.jetson.count_line import CountLine, parse_count_line


def test_lines_are_read_from_their_flag():
    assert parse_count_line("x=320") == CountLine("x", 320.0)
    assert parse_count_line("y=0") == CountLine("y", 0.0)


@pytest.mark.parametrize("text", ["", "320", "z=3", "x=", "x=-1", "x=nan", "x=inf", "x=1=2"])
def test_another_line_is_refused(text):
    with pytest.raises(UsageError, match="--count_line"):
        parse_count_line(text)
