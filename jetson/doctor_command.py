"""Find out what stands in the way on this machine: one line a check, one mend each.

    legoclf doctor
    legoclf doctor bricks.bundle
    legoclf doctor --json

It looks at Python and its packages, L4T and JetPack, TensorRT, CUDA, OpenCV, GStreamer, cameras, memory,
disk, power mode and clocks; with a bundle, whether that is whole and has an engine for this machine. It
changes nothing, and needs no rights. On a machine that is no Jetson it says so and checks the rest.

Each line begins with its status:
    ok        as it should be
    note      it works, and there is something to know
    problem   something of legoclf does not work; the line below it says what to do
    not here  this machine has no such thing and needs none

The exit code is 1 if there is a problem, else 0.
"""

import argparse
import json
import os
import shutil
import sys
from typing import List, Optional

from legoclf.bundle import find_bundle
from legoclf.errors import UsageError, check_range
from legoclf.jetson.doctor.check import PROBLEM, Check
from legoclf.jetson.doctor.checks import CHECKS, run_checks
from legoclf.jetson.doctor.facts import gather
from legoclf.jetson.doctor.probe_child import PROBES
from legoclf.jetson.doctor.probes import TIMEOUT_S, Probes
from legoclf.jetson.doctor.report import as_json, check_lines, summary_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf doctor`."""
    parser.add_argument("bundle", nargs="?", help="a bundle to look at too, if there is not the one here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--timeout_s",
        type=float,
        default=TIMEOUT_S,
        metavar="S",
        help="so long a package may take to load ({:g})".format(TIMEOUT_S),
    )


def run(args: argparse.Namespace) -> int:
    """Check all; 1 if there is a problem.

    Raises:
        UsageError: --timeout_s is out of its range.
    """
    check_range("--timeout_s", args.timeout_s, 1, 3600)
    checks: List[Check] = []
    name_width = max(len(name) for name, _ in CHECKS)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    with Probes(sorted(PROBES), args.timeout_s) as probes:
        facts = gather(probes, _bundle(args.bundle))
        for check in run_checks(facts):
            checks.append(check)
            if not args.json:
                _write(check_lines(check, name_width, width, has_colour()))
    if args.json:
        _write([json.dumps(as_json(checks))])
    else:
        _write(["", summary_line(checks)])
    return int(any(check.status == PROBLEM for check in checks))


def _bundle(named: Optional[str]) -> Optional[str]:
    """The bundle that other commands would take; None if they would find none."""
    try:
        return find_bundle(named)
    except UsageError:
        return None


def has_colour() -> bool:
    """Whether standard output is a terminal and the user does not forbid colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _write(lines: List[str]) -> None:
    text = "\n".join(lines) + "\n"
    # A locale that is not UTF-8 is one of the findings, and must be told all the same.
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
