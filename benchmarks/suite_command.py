"""All benchmarks of this machine in one run: result files, one table, one page.

    legoclf benchmark suite [--image_dir DIR] [--output_dir DIR] [--short] [--only inference,live]

Makes a bundle first: trained on --image_dir, or on bricks rendered for the run. Each benchmark is a process
of its own and writes its result file; summary.md has every table, report.html the plots. Under 15 minutes on
two cores; --short, for a machine that tests, under two: its intervals are wide, and training, conversion and
scaling are left out unless --only names them.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from legoclf.errors import UsageError

if TYPE_CHECKING:
    from legoclf.benchmarks.suite import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark suite`."""
    parser.add_argument("--image_dir", type=Path, help="a data set (bricks rendered for the run)")
    parser.add_argument(
        "--output_dir", type=Path, default=Path("benchmark"), help="folder to write (./benchmark)"
    )
    parser.add_argument("--short", action="store_true", help="a look in under two minutes")
    parser.add_argument("--only", metavar="NAMES", help="some of them, separated by commas")


def run(args: argparse.Namespace) -> int:
    """Run them all; 1 if one could not be."""
    from legoclf.benchmarks.report_html import write_report
    from legoclf.benchmarks.suite import STEPS, make_bundle, run_step, summary

    if args.only is None:
        chosen = [step for step in STEPS if step.in_short or not args.short]
    else:
        chosen = [step for step in STEPS if step.name in args.only.split(",")]
    known = [step.name for step in STEPS]
    wrong = [name for name in (args.only or "").split(",") if name and name not in known]
    if wrong or not chosen:
        raise UsageError(f"--only: no benchmark {', '.join(wrong)!r}; there are {', '.join(known)}")
    if args.image_dir is not None and not args.image_dir.is_dir():
        raise UsageError(f"--image_dir: {args.image_dir}: no such folder")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="legoclf-suite-") as scratch:
        bundle, image_dir = make_bundle(Path(scratch), args.image_dir, args.short)
        for step in chosen:
            outcome = run_step(step, bundle, image_dir, args.output_dir, args.short)
            outcomes.append(outcome)
            told = outcome.trouble or _ratios(outcome)
            sys.stdout.write(f"{outcome.name:<12} {outcome.seconds:>6.1f} s  {told}\n")
            sys.stdout.flush()
    (args.output_dir / "summary.md").write_text(summary(outcomes), encoding="utf-8")
    write_report(
        args.output_dir / "report.html", [each.result for each in outcomes if each.result is not None]
    )
    sys.stdout.write(f"tables: {args.output_dir / 'summary.md'}\npage: {args.output_dir / 'report.html'}\n")
    return int(any(outcome.result is None for outcome in outcomes))


def _ratios(outcome: "Outcome") -> str:
    """The first ratios of a result, for the line that tells that it is done."""
    from legoclf.benchmarks.device.emit import factor

    assert outcome.result is not None
    first = outcome.result.ratios[:2]
    told = [f"{ratio.name}: {factor(outcome.result.ratio(ratio).value)}" for ratio in first]
    return "; ".join(told) or "measured"
