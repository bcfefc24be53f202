"""How long each subcommand takes to answer --help, as a process, in turns with a Python that does nothing."""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from legoclf.benchmarks.device.clock import in_turns
from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.benchmarks.device.samples import paired_ratio, summarise
from legoclf.errors import LegoclfError

BARE = "python -c pass"
NUMPY = "python -c 'import numpy'"
VERSION = "legoclf --version"

#: A help that takes longer than this many imports of NumPy is told: it imports what it has no need of.
SLOW = 1.5

#: The slowest subcommands whose imports are looked at.
SLOWEST = 3

#: After so long a process that only prints a text is held to hang.
_MOST_SECONDS = 60

#: Shares of the import time below this are not told.
_SMALLEST_SHARE = 0.03

# The command line stands above the benchmarks, so they do not import it: it is asked as a process.
_LIST_COMMANDS = "import json; from legoclf.cli import COMMANDS; print(json.dumps(list(COMMANDS)))"

_IMPORTED = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


def command_names() -> list[str]:
    """The subcommands, such as ``retrain`` and ``data check``, in the order of `legoclf --help`."""
    names: list[str] = json.loads(_run(["-c", _LIST_COMMANDS]).stdout)
    return names


def measure(names: Sequence[str], rounds: int) -> Measured:
    """Start every subcommand once in each of ``rounds`` turns, after once that does not count.

    Each is `python -m legoclf NAME --help` in an empty folder. A subcommand that does not start is left out,
    and told in the notes.

    Raises:
        LegoclfError: Python does not start, or has no NumPy; or a process hangs.
    """
    calls = {BARE: ["-c", "pass"], NUMPY: ["-c", "import numpy"], VERSION: ["-m", "legoclf", "--version"]}
    for call in calls.values():
        _check_started(call)
    notes = []
    for name in names:
        call = ["-m", "legoclf", *name.split(), "--help"]
        try:
            _check_started(call)
        except LegoclfError as error:
            notes.append(f"legoclf {name}: left out: {error}")
        else:
            calls[shown(name)] = call
    work: dict[str, Callable[[], object]] = {name: partial(_run, call) for name, call in calls.items()}
    turns = in_turns(work, rounds, 0.0)
    ratios = [
        Ratio(f"{name}, of a bare Python", name, BARE, "lower") for name in calls if name not in (BARE, NUMPY)
    ]
    helps = {name: call for name, call in calls.items() if name not in (BARE, NUMPY, VERSION)}
    series = [Series(name, "ms", samples) for name, samples in turns.items()]
    return Measured(series, ratios, {"notes": notes + slow_notes(turns, helps), "left_out": len(notes)})


def shown(name: str) -> str:
    """The name of a subcommand's series."""
    return f"legoclf {name} --help"


def import_shares(call: Sequence[str]) -> dict[str, float]:
    """Of each top-level package that a process imports, its share of the time of all imports.

    ``legoclf`` is all of its own modules together; the largest comes first.

    Args:
        call: the words behind ``python``.
    """
    microseconds: Counter[str] = Counter()
    for own, module in _IMPORTED.findall(_run(["-X", "importtime", *call]).stderr):
        microseconds[module.partition(".")[0]] += int(own)
    total = sum(microseconds.values())
    return {package: spent / total for package, spent in microseconds.most_common()}


def slow_notes(turns: dict[str, list[list[float]]], calls: dict[str, list[str]]) -> list[str]:
    """The slowest with what they import, and those that take longer than they should.

    Args:
        turns: of every call, and of :data:`NUMPY`.
        calls: the words behind ``python`` of each subcommand's call.
    """
    if not calls:
        return []
    numpy = {name: paired_ratio(turns[name], turns[NUMPY]) for name in calls}
    slowest = sorted(calls, key=lambda name: -summarise(turns[name]).median.value)
    told = [
        f"{name} takes {numpy[name].value:.2f} imports of NumPy; of its imports' time "
        + ", ".join(
            f"{package} {share:.0%}"
            for package, share in import_shares(calls[name]).items()
            if share >= _SMALLEST_SHARE
        )
        for name in slowest[:SLOWEST]
    ]
    slow = [name for name in slowest if (numpy[name].low or numpy[name].value) > SLOW]
    if slow:
        return [*told, f"more than {SLOW} imports of NumPy: {', '.join(slow)}"]
    return [*told, f"no subcommand takes more than {SLOW} imports of NumPy beyond doubt"]


def _check_started(call: Sequence[str]) -> None:
    done = _run(call)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        raise LegoclfError(last.removeprefix("legoclf: error: "))


def _run(call: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # Elsewhere, and with -P: a folder called legoclf where the user stands would be taken for the package.
    try:
        return subprocess.run(
            [sys.executable, "-P", *call],
            cwd=tempfile.gettempdir(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_MOST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise LegoclfError(
            f"`python {' '.join(call)}` has not ended after {_MOST_SECONDS} s: run it by hand to see why"
        ) from error
