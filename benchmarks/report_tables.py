"""The tables of the report page. Every text of a result is escaped here, and here alone it becomes HTML."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from legoclf.benchmarks.device.emit import factor, interval, number, percent
from legoclf.benchmarks.device.result import Result
from legoclf.benchmarks.published import Published
from legoclf.benchmarks.report_data import Bound, Configuration
from legoclf.benchmarks.text import escaped

#: Rows up to which a table stands open.
_MOST_OPEN_ROWS = 12

#: How a column is set: text, a number, an interval, a text of some length.
_TEXT, _NUMBER, _INTERVAL, _LONG = "", " class=n", " class=i", " class=long"

_NOT_TOLD = "–"

T = TypeVar("T")


def ratios(results: Sequence[Result]) -> str:
    """Every ratio of some results, those of a result with many folded below; "" if there is none."""
    open_rows, folded = [], []
    for result in results:
        rows = []
        for ratio in result.ratios:
            estimate = result.ratio(ratio)
            shown = [factor(estimate.value), interval(estimate, factor)]
            rows.append([ratio.name, *shown, ratio.better, result.kind])
        if len(rows) <= _MOST_OPEN_ROWS:
            open_rows += rows
        else:
            folded.append(_folded(f"{len(rows)} ratios of {result.kind}", _ratio_table(rows)))
    return _ratio_table(open_rows) + "".join(folded)


def latencies(found: Sequence[Configuration]) -> str:
    """A line for each configuration: what it takes, and what it is worth."""
    rows = []
    for each in found:
        rows.append(
            [
                each.name,
                number(each.latency.value),
                interval(each.latency, number),
                _told(each.rate, lambda rate: number(rate.value)),
                _told(each.accuracy, lambda accuracy: percent(accuracy.value)),
                _told(each.accuracy, lambda accuracy: interval(accuracy, percent)),
                _told(each.bound, lambda bound: number(bound.bound_ms / bound.batch)),
                _told(each.share, percent),
            ]
        )
    head = (
        "configuration",
        "ms an image",
        "95 % interval",
        "images/s",
        "right",
        "95 % interval",
        "roofline, ms",
        "compute, of it",
    )
    columns = (_TEXT, _NUMBER, _INTERVAL, _NUMBER, _NUMBER, _INTERVAL, _NUMBER, _NUMBER)
    return _table(head, columns, rows)


def bounds(found: Sequence[Bound]) -> str:
    """What machines could do at best."""
    rows = [
        [
            each.machine,
            each.precision,
            number(each.bound_ms),
            number(each.peak_gflops),
            number(each.bandwidth_gb_s),
            number(each.intensity),
        ]
        for each in found
    ]
    head = ("machine", "precision", "ms at best", "GFLOP/s", "GB/s", "FLOPs a byte")
    return _table(head, (_TEXT, _TEXT, _NUMBER, _NUMBER, _NUMBER, _NUMBER), rows)


def series(result: Result) -> str:
    """All series of a result; folded where they are many."""
    rows = []
    for each in result.series:
        if each.unit == "right":
            share, total = each.share, sum(len(turn) for turn in each.turns)
            rows.append(
                [each.name, "right", percent(share.value), interval(share, percent), "", "", "", str(total)]
            )
            continue
        summary = each.summary
        rows.append(
            [
                each.name,
                each.unit,
                number(summary.median.value),
                interval(summary.median, number),
                number(summary.p90),
                number(summary.p99),
                number(summary.largest),
                str(summary.samples),
            ]
        )
    head = ("measured", "unit", "median", "95 % interval", "p90", "p99", "max", "samples")
    columns = (_TEXT, _TEXT, _NUMBER, _INTERVAL, _NUMBER, _NUMBER, _NUMBER, _NUMBER)
    table = _table(head, columns, rows)
    if len(rows) <= _MOST_OPEN_ROWS:
        return table
    return _folded(f"All {len(rows)} series", table)


def published(figures: Sequence[Published]) -> str:
    """Figures of others, their sources beside them."""
    rows = [
        [
            each.name,
            each.model,
            _told(each.latency_ms, "{:g}".format),
            _told(each.throughput_img_s, "{:g}".format),
            each.conditions or "not told",
            each.source,
        ]
        for each in figures
    ]
    head = ("device and backend", "model", "ms", "images/s", "conditions", "source")
    return _table(head, (_TEXT, _TEXT, _NUMBER, _NUMBER, _LONG, _LONG), rows)


def conditions(results: Sequence[Result]) -> str:
    """What some results of one device were measured under; each line once."""
    lines: dict[str, list[str]] = {}
    for result in results:
        for name, value in _conditions(result):
            if value not in lines.setdefault(name, []):
                lines[name].append(value)
    rows = [f"<dt>{escaped(name)}<dd>{'<br>'.join(values)}" for name, values in lines.items()]
    return f"<dl>{''.join(rows)}</dl>"


def _conditions(result: Result) -> Iterable[tuple[str, str]]:
    header = result.header
    yield "cores", escaped(header["cores"])
    for name in ("jetpack", "power_mode"):
        if header[name]:
            yield name.replace("_", " "), escaped(header[name])
    clocks = _pairs(header["clocks"])
    if clocks:
        yield "clocks", escaped(clocks)
    yield "versions", escaped(f"python {header['python']}, {_pairs(header['versions'])}")
    yield (
        f"{result.kind}",
        f"<code>{escaped(header['command'])}</code> <span class=note>{escaped(header['date'])}</span>",
    )


def _pairs(record: Any) -> str:
    """An object of the header in a line; what is None is left out."""
    if not isinstance(record, dict):
        return str(record or "")
    told = [(name, value) for name, value in sorted(record.items()) if value is not None]
    return ", ".join(str(value) if name == "note" else f"{name} {value}" for name, value in told)


def _told(value: T | None, form: Callable[[T], str]) -> str:
    return _NOT_TOLD if value is None else form(value)


def _ratio_table(rows: Sequence[Sequence[str]]) -> str:
    head = ("ratio", "", "95 % interval", "better", "benchmark")
    return _table(head, (_TEXT, _NUMBER, _INTERVAL, _TEXT, _TEXT), rows)


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{escaped(summary)}</summary>{content}</details>"


def _table(head: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """HTML of a table; every cell is escaped. Nothing for no rows."""
    if not rows:
        return ""
    lines = [
        "<tr>" + "".join(f"<th{column}>{escaped(name)}" for name, column in zip(head, columns, strict=True))
    ]
    for row in rows:
        lines.append(
            "<tr>"
            + "".join(f"<td{column}>{escaped(text)}" for text, column in zip(row, columns, strict=True))
        )
    return "<div class=scroll><table>" + "\n".join(lines) + "</table></div>"
