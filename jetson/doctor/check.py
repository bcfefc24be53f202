"""What a check says: a status, what was found, and the one mend."""

from typing import NamedTuple

from legoclf.errors import printable

OK, NOTE, PROBLEM, NOT_HERE = "ok", "note", "problem", "not here"
STATUSES = (OK, NOTE, PROBLEM, NOT_HERE)


class Finding(NamedTuple):
    """What one check found, made by :func:`ok`, :func:`note`, :func:`problem` or :func:`not_here`.

    status: one of STATUSES: a problem stops something that legoclf does; a note is worth knowing; what is
        not here is not needed either, until it is wanted.
    what: one line. mend: one line, what to do; never empty for a problem, empty if there is nothing to do.
    """

    status: str
    what: str
    mend: str = ""


class Check(NamedTuple):
    """A finding with the name of its check."""

    name: str
    status: str
    what: str
    mend: str


def ok(what: str) -> Finding:
    """As it should be."""
    return Finding(OK, printable(what))


def note(what: str, mend: str = "") -> Finding:
    """It works, and yet there is something to know."""
    return Finding(NOTE, printable(what), printable(mend))


def problem(what: str, mend: str) -> Finding:
    """Something of legoclf does not work here.

    Raises:
        ValueError: without a mend.
    """
    if not mend.strip():
        raise ValueError("a problem without a mend: " + what)
    return Finding(PROBLEM, printable(what), printable(mend))


def not_here(what: str, mend: str = "") -> Finding:
    """This machine has no such thing, and needs none. mend: how to get it, where one may want it."""
    return Finding(NOT_HERE, printable(what), printable(mend))
