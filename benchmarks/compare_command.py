"""Compare two results of one benchmark: what differs, and what is noise.

    legoclf benchmark compare before.json after.json
    legoclf benchmark compare before.json after.json --fail_below 0.9
    legoclf benchmark compare result.json --gates benchmarks/gates.json

Result files are what benchmarks write with --output. Each series that both have is tested over its turns
(Mann-Whitney, exact), accuracies image by image (McNemar, exact), with Holm's correction for their number.

As a gate for CI it looks at ratios within a run alone, never at times. --fail_below: against an earlier run;
--gates: against bounds in a file, in one run. Exit code 1 if one fails; noise does not fail.
"""

import argparse
import json
import sys
from pathlib import Path

from legoclf.errors import UsageError, check_range


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark compare`."""
    parser.add_argument(
        "results", nargs="+", metavar="RESULT.json", help="A and B; with --gates one is enough"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--fail_below",
        type=float,
        metavar="SHARE",
        help="exit code 1 if a ratio of B is surely below this share of A's",
    )
    parser.add_argument(
        "--gates",
        type=Path,
        metavar="FILE",
        help="exit code 1 if a ratio of the last result breaks its bound",
    )


def run(args: argparse.Namespace) -> int:
    """Compare, print, and judge if asked to; 1 if a gate fails."""
    count = len(args.results)
    if count > 2 or (count == 1 and args.gates is None):
        raise UsageError(f"got {count} results; expected A.json B.json, or one and --gates FILE")
    if args.fail_below is not None:
        check_range("--fail_below", args.fail_below, 0.01, 1.0)
        if count == 1:
            raise UsageError("--fail_below: expected A.json B.json, got one result")
    from legoclf.benchmarks import gates
    from legoclf.benchmarks.compare import as_markdown, compare
    from legoclf.benchmarks.device.result import load
    from legoclf.benchmarks.text import cell

    bounds = None if args.gates is None else gates.read_gates(args.gates)
    results = [load(path) for path in args.results]
    first, last = results[0], results[-1]
    comparison = compare(first, last) if count == 2 else None
    met = [] if args.fail_below is None else gates.against_earlier(first, last, args.fail_below)
    if bounds is not None:
        met += gates.of_one_run(last, bounds)
    failed = [gate for gate in met if gate.trouble]
    if args.json:
        record = {
            "comparison": None if comparison is None else comparison.as_json(),
            "gates": [gate.as_json() for gate in met],
            "passed": not failed,
        }
        sys.stdout.write(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        return int(bool(failed))
    if comparison is not None:
        sys.stdout.write(as_markdown(comparison))
    if met:
        sys.stdout.write("\n" * (comparison is not None) + "".join(f"- {cell(gate)}\n" for gate in met))
    elif bounds is not None:
        sys.stdout.write(f"no gate is written for '{cell(last.kind)}'\n")
    return int(bool(failed))
