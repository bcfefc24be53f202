"""How every benchmark tells its result: a Markdown table, one JSON object, a result file. Python 3.6."""

import argparse
import json
import math
import os
import sys
from typing import TYPE_CHECKING, Callable, List

from legoclf.errors import UsageError

if TYPE_CHECKING:
    # At run time these would bring NumPy into the help of every benchmark.
    from legoclf.benchmarks.device.result import Result, Series
    from legoclf.benchmarks.device.samples import Estimate


def add_bundle_flags(parser: argparse.ArgumentParser) -> None:
    """Define what says which bundle is measured, and by what it is run."""
    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument(
        "--backend",
        choices=("auto", "tensorrt", "onnxruntime"),
        default="auto",
        help="TensorRT where an engine fits, else ONNX Runtime (auto)",
    )


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Define the flags that every benchmark has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, raw samples and all")
    parser.add_argument("--output", metavar="FILE", help="write the result file too, for `benchmark compare`")


def check_output_flags(args: argparse.Namespace) -> None:
    """Refuse a place that cannot be written before the minutes of a benchmark.

    Raises:
        UsageError: --output names none that can be written.
    """
    if args.output is None:
        return
    folder = os.path.dirname(os.path.abspath(args.output))
    if not args.output:
        raise UsageError("--output: got an empty name, expected a file")
    if os.path.isdir(args.output) or not os.path.isdir(folder):
        raise UsageError("--output: {}: expected a file in a folder that is there".format(args.output))
    if not os.access(folder, os.W_OK):
        raise UsageError("--output: {}: the folder cannot be written".format(args.output))


def emit(result: "Result", args: argparse.Namespace) -> None:
    """Print the result as the flags want it."""
    from legoclf.benchmarks.device.result import save, to_json

    if args.output is not None:
        save(result, args.output)
    if args.json:
        sys.stdout.write(json.dumps(to_json(result), ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write(as_markdown(result))


def as_markdown(result: "Result") -> str:
    """Conditions, ratios first, the series, and the notes in ``facts["notes"]``."""
    lines = ["# {}".format(result.kind), "", *header_lines(result), ""]
    if result.ratios:
        lines += ["| ratio, within this run | | 95 % interval |", "|---|---:|---|"]
        for ratio in result.ratios:
            estimate = result.ratio(ratio)
            lines.append(
                "| {} | {} | {} |".format(ratio.name, factor(estimate.value), interval(estimate, factor))
            )
        lines.append("")
    timed = [series for series in result.series if series.unit != "right"]
    if timed:
        lines += [
            "| measured | unit | median | 95 % interval | p90 | p99 | max | samples |",
            "|---|---|---:|---|---:|---:|---:|---:|",
        ]
        lines += [_series_line(series) for series in timed] + [""]
    for series in result.series:
        if series.unit == "right":
            estimate = series.share
            total = sum(len(turn) for turn in series.turns)
            lines += [
                "{}: {} of {} images right, 95 % interval {}".format(
                    series.name, percent(estimate.value), total, interval(estimate, percent)
                ),
                "",
            ]
    lines += ["- {}".format(note) for note in result.facts.get("notes", [])]
    return "\n".join(lines).rstrip("\n") + "\n"


def header_lines(result: "Result") -> List[str]:
    """The conditions in a few lines; that the machine was unsteady comes first."""
    header = result.header
    lines = []
    if header["unsteady"]:
        lines += ["**Not to be quoted: {}.**".format("; ".join(header["unsteady"])), ""]
    machine = "{}, {} cores".format(header["device"], header["cores"])
    if header["jetpack"]:
        machine += ", JetPack {}".format(header["jetpack"])
    if header["power_mode"]:
        machine += ", power mode {}".format(header["power_mode"])
    versions = ", ".join(
        "{} {}".format(name, version) for name, version in sorted(header["versions"].items())
    )
    lines += [machine, "", "Python {}, {}; {}".format(header["python"], versions, header["date"]), ""]
    lines.append("`{}`".format(header["command"]))
    return lines


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100:
        return "{:.0f}".format(value)
    if value >= 0.001 or value == 0:
        return "{:.3g}".format(value)
    # As many decimals as show two digits.
    return "{:.{}f}".format(value, 1 - math.floor(math.log10(value)))


def factor(value: float) -> str:
    """A ratio as a percentage up to 200 %, and as a multiple above."""
    return percent(value) if value < 2 else number(value) + "x"


def percent(value: float) -> str:
    """A share."""
    return "{:.1f} %".format(100 * value) if value < 1.995 else "{:.0f} %".format(100 * value)


def _series_line(series: "Series") -> str:
    summary = series.summary
    return "| {} | {} | {} | {} | {} | {} | {} | {} |".format(
        series.name,
        series.unit,
        number(summary.median.value),
        interval(summary.median, number),
        number(summary.p90),
        number(summary.p99),
        number(summary.largest),
        summary.samples,
    )


def interval(estimate: "Estimate", form: Callable[[float], str]) -> str:
    """The interval of an estimate in words."""
    if estimate.low is None or estimate.high is None:
        return "too few turns"
    return "{} to {}".format(form(estimate.low), form(estimate.high))
