"""The errors a user can mend: each becomes one line on stderr and an exit code.

Only :func:`legoclf.cli.main` turns them into that line; everything else raises.
"""


class LegoclfError(Exception):
    """The work failed for a reason the message states: what, why, and the mend. Exit code 1."""

    exit_code = 1


class UsageError(LegoclfError):
    """The call itself was wrong: an unknown name, a missing argument. Exit code 2."""

    exit_code = 2


class BundleError(LegoclfError):
    """A bundle that is damaged, incomplete, or of a format this version does not know."""


class ContractError(LegoclfError):
    """An input contract with a field that is missing or has a value outside its range."""


class ImageError(LegoclfError):
    """One image that cannot be used; ``reason`` is the short cause, without the path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__("{}: {}".format(path, reason))
        self.path = path
        self.reason = reason


def missing_package(package: str, extra: str) -> LegoclfError:
    """The error for a package that is not installed, with the extra that brings it."""
    return LegoclfError(
        "the package '{}' is not installed; it comes with: pip install 'legoclf[{}]'".format(package, extra)
    )


def check_range(flag: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside its range, and one that is no number.

    Raises:
        UsageError: the message names the flag.
    """
    if not low <= value <= high:
        raise UsageError("{}: got {}, expected {} to {}".format(flag, value, low, high))


def printable(text: str) -> str:
    """``text`` in one line, fit for a terminal: what cannot be shown is escaped as in a Python string.

    A file name may hold line breaks, codes that steer a terminal, and bytes that are no UTF-8.
    """
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
