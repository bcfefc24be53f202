"""How findings are shown: lines for people, one object for programs."""

import textwrap
from typing import Any, Dict, List, Sequence

from legoclf import __version__
from legoclf.jetson.doctor.check import NOT_HERE, NOTE, OK, PROBLEM, STATUSES, Check

_COLOURS = {OK: "32", NOTE: "33", PROBLEM: "31;1", NOT_HERE: "2"}

_STATUS_WIDTH = max(len(status) for status in STATUSES)

#: Narrower than this a text cannot be read any more, and runs over the edge instead.
_LEAST_WIDTH = 24


def check_lines(check: Check, name_width: int, width: int, colour: bool) -> List[str]:
    """The lines of one check: its status, its name, what it found; the mend on a line of its own.

    Args:
        name_width: that of the longest name.
        width: of the terminal, in columns.
    """
    indent = " " * (_STATUS_WIDTH + name_width + 4)
    room = max(width - 1, len(indent) + _LEAST_WIDTH)
    head = "{:<{}}  {:<{}}  ".format(check.status, _STATUS_WIDTH, check.name, name_width)
    lines = _wrap(check.what, head, indent, room)
    if colour:
        painted = "\x1b[{}m{}\x1b[0m".format(_COLOURS[check.status], check.status)
        lines[0] = painted + lines[0][len(check.status) :]
    if check.mend:
        # A mend is to be copied: it is one line, however long.
        lines.append("{}mend: {}".format(indent, check.mend))
    return lines


def summary_line(checks: Sequence[Check]) -> str:
    """How many problems and notes there are."""
    problems = sum(check.status == PROBLEM for check in checks)
    notes = sum(check.status == NOTE for check in checks)
    if not problems:
        return "no problem, {}".format(_count(notes, "note"))
    return "{}, {}".format(_count(problems, "problem"), _count(notes, "note"))


def as_json(checks: Sequence[Check]) -> Dict[str, Any]:
    """One object: ``checks`` in their order, ``problems`` counted, and the version that checked."""
    return {
        "legoclf": __version__,
        "problems": sum(check.status == PROBLEM for check in checks),
        "checks": [dict(check._asdict()) for check in checks],
    }


def _wrap(text: str, head: str, indent: str, width: int) -> List[str]:
    wrapped = textwrap.wrap(
        text,
        width,
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped or [head.rstrip()]


def _count(number: int, what: str) -> str:
    return "{} {}{}".format(number or "no", what, "" if number == 1 else "s")
