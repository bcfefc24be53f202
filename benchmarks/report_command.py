"""Results as one page: latency against accuracy, rooflines, where the time goes, ratios first.

    legoclf benchmark report inference.json roofline.json
    legoclf benchmark report --results benchmark --output report.html --plots plots

One HTML file that needs no network and no script, for a phone as for a desk. Without results it shows the
reference results that come with legoclf. Figures published by others stand apart, each with its source.
"""

import argparse
import os
import sys
from pathlib import Path

from legoclf.errors import LegoclfError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark report`."""
    parser.add_argument("files", nargs="*", metavar="RESULT.json", help="what benchmarks write with --output")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="all result files of a folder (the reference results)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), metavar="FILE", help="the page (report.html)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown too")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the plots as PNG files too")


def run(args: argparse.Namespace) -> int:
    """Read the results and write the page."""
    for flag, path in (("--output", args.output), ("--markdown", args.markdown)):
        if path is not None:
            _check_file(flag, path)
    if args.plots is not None and args.plots.exists() and not args.plots.is_dir():
        raise UsageError(f"--plots: {args.plots}: expected a folder")
    from legoclf.benchmarks import gallery, published
    from legoclf.benchmarks.device.result import load
    from legoclf.benchmarks.report_html import write_plots, write_report

    results = [load(path) for path in args.files]
    if args.results is not None or not results:
        folder = gallery.RESULTS if args.results is None else args.results
        results += gallery.load_folder(folder)
    if not results:
        raise LegoclfError(f"{folder}: holds no result files; expected what benchmarks write with --output")
    write_report(args.output, results)
    sys.stdout.write(f"page: {args.output}\n")
    if args.markdown is not None:
        text = gallery.as_markdown(gallery.group(results))
        args.markdown.write_text(text + "\n" + published.as_markdown(published.load_published()), "utf-8")
        sys.stdout.write(f"tables: {args.markdown}\n")
    if args.plots is not None:
        for path in write_plots(args.plots, results):
            sys.stdout.write(f"plot: {path}\n")
    return 0


def _check_file(flag: str, path: Path) -> None:
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{flag}: {path}: expected a file in a folder that can be written")
