"""The first plot of the report: latency against accuracy, and what others published below."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from legoclf.benchmarks.device.emit import number
from legoclf.benchmarks.plot_style import GRID, MARKS, SERIES, SOFT, label, number_ticks
from legoclf.benchmarks.published import Published
from legoclf.benchmarks.report_data import Configuration, networks
from legoclf.retrain.drawing import Draw

#: Inches: of the plot, of a row below it, and of what stands around them.
_PLOT, _ROW, _AROUND = 3.4, 0.34, 0.75

#: Points: where the name of a batch may stand beside its mark, and how far from the next.
_LEVELS, _APART = (10, -10, 20, -20), 9


def latency_accuracy(
    measured: Mapping[str, Sequence[Configuration]], published: Sequence[Published]
) -> Draw | None:
    """Milliseconds of an image against images named right, with both intervals.

    Args:
        measured: by device. The networks of each are joined from batch to batch.
        published: those with a latency stand below, for their accuracy is not told.
    """
    lines = [
        (f"{network} on {device}" if len(measured) > 1 else network, found)
        for device, configurations in measured.items()
        for network, found in networks(configurations).items()
    ]
    if not lines:
        return None
    named = [each for each in published if each.latency_ms is not None]
    unmeasured = [place for place, (_, found) in enumerate(lines) if found[0].accuracy is None]
    rows = len(named) + len(unmeasured) + 1 if named or unmeasured else 0

    def draw(figure: Any) -> None:
        legend_rows = len(lines) if figure.get_figwidth() < 6 else (len(lines) + 1) // 2
        has_accuracy = len(unmeasured) < len(lines)
        heights = [_PLOT if has_accuracy else 0.4, max(0.1, rows * _ROW)]
        figure.set_figheight(sum(heights) + _AROUND + 0.22 * legend_rows)
        top, strip = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        top.set_xscale("log")
        handles = [_draw_network(top, strip, place, lines, unmeasured) for place in range(len(lines))]
        _draw_published(strip, named, len(unmeasured))
        _draw_bounds(top, strip, [each for _, found in lines for each in found])
        _frame_latency_accuracy(top, strip, rows, has_accuracy)
        _name_batches(top, [found for _, found in lines])
        figure.legend(
            handles,
            [label(name) for name, _ in lines],
            loc="outside lower left",
            ncols=1 if legend_rows == len(lines) else 2,
        )

    return draw


def _draw_network(
    top: Any,
    strip: Any,
    place: int,
    lines: Sequence[tuple[str, Sequence[Configuration]]],
    unmeasured: Sequence[int],
) -> Any:
    """One network over its batches; the handle for the legend."""
    found = lines[place][1]
    latency = [each.latency.value for each in found]
    style = {
        "marker": MARKS[place % len(MARKS)],
        "color": SERIES[place % len(SERIES)],
        "markersize": 6,
        "linewidth": 1,
    }
    accuracy = found[0].accuracy
    if accuracy is None:
        row = unmeasured.index(place)
        (handle,) = strip.plot(latency, [row] * len(found), **style)
        _row(strip, row, f"{label(lines[place][0])}: accuracy not measured")
        return handle
    assert accuracy.low is not None
    assert accuracy.high is not None
    value = 100 * accuracy.value
    (handle,) = top.plot(latency, [value] * len(found), **style)
    # The accuracy is the network's, whatever the batch: one interval is enough.
    middle = (min(latency) * max(latency)) ** 0.5
    top.plot([middle, middle], [100 * accuracy.low, 100 * accuracy.high], color=style["color"], linewidth=1.2)
    for each in found:
        if each.latency.low is not None and each.latency.high is not None:
            limits = [each.latency.low, each.latency.high]
            top.plot(limits, [value, value], color=style["color"], linewidth=5, alpha=0.3)
    return handle


def _name_batches(top: Any, lines: Sequence[Sequence[Configuration]]) -> None:
    """The batch at both ends of a line, up or down where it hides no other: networks often share a line."""
    box = top.get_position()
    width, height = (72 * inches for inches in top.figure.get_size_inches() * (box.width, box.height))
    (left, right), (bottom, above) = np.log(top.get_xlim()), top.get_ylim()
    taken: list[tuple[float, float]] = []
    for place, found in enumerate(lines):
        for each in (found[0], found[-1]) if len(found) > 1 else found:
            if each.accuracy is None:
                continue
            at = each.latency.value, 100 * each.accuracy.value
            x = (np.log(at[0]) - left) / (right - left) * width
            y = (at[1] - bottom) / (above - bottom) * height
            levels = [
                level
                for level in _LEVELS
                if all(abs(x - a) > _APART or abs(y + level - b) > _APART for a, b in taken)
            ]
            level = levels[0] if levels else _LEVELS[0]
            taken.append((x, y + level))
            colour = SERIES[place % len(SERIES)]
            style = {"ha": "center", "va": "center", "fontsize": 8, "color": colour}
            top.annotate(str(each.batch), at, (0, level), textcoords="offset points", **style)


def _draw_published(strip: Any, named: Sequence[Published], first_row: int) -> None:
    if named:
        _row(strip, first_row, "published by others, accuracy not told:", "bold")
    for row, each in enumerate(named, first_row + 1):
        assert each.latency_ms is not None
        strip.axhline(row, color=GRID, linewidth=0.8, zorder=0)
        strip.plot([each.latency_ms], [row], "o", color=SOFT, markerfacecolor="none", markersize=6)
        _row(strip, row, label(each.name))


def _row(strip: Any, row: int, name: str, weight: str = "normal") -> None:
    """The name of a row, above its line: names may be long, and a page narrow."""
    at = strip.get_yaxis_transform()
    strip.text(0.01, row - 0.3, name, fontsize=8, fontweight=weight, va="center", transform=at)


def _draw_bounds(top: Any, strip: Any, found: Sequence[Configuration]) -> None:
    """The roofline as a line, or as a band where the configurations differ in it."""
    bounds = [each.bound.bound_ms / each.batch for each in found if each.bound is not None]
    if not bounds:
        return
    low, high = min(bounds), max(bounds)
    top.axvspan(low, high, color=SERIES[4], alpha=0.3, linewidth=0)
    for axes in (top, strip):
        for bound in sorted({low, high}):
            axes.axvline(bound, color=SERIES[4], linewidth=1.2, linestyle="--")
    text = number(low) if number(low) == number(high) else f"{number(low)} to {number(high)}"
    top.annotate(
        f"roofline: {text} ms at best",
        (high, 1),
        (4, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        fontsize=8,
    )


def _frame_latency_accuracy(top: Any, strip: Any, rows: int, has_accuracy: bool) -> None:
    low, high = top.get_xlim()
    top.set_xlim(low / 1.25, high * 1.25)
    top.grid()
    top.tick_params(labelbottom=False)
    if has_accuracy:
        bottom, above = top.get_ylim()
        # Room above for the roofline's words, and for the names of the batches.
        top.set_ylim(bottom, above + 0.12 * (above - bottom))
        top.set_ylabel("images named right, %")
    else:
        top.set_yticks([])
    strip.grid(axis="x")
    strip.set_yticks([])
    strip.set_ylim(rows - 0.4, -0.8)
    strip.set_xlabel("ms an image; numbers at marks: smallest and largest batch")
    number_ticks(strip)
