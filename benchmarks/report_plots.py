"""The plots of single results. Each function gives a drawing for any width, or None: nothing to show."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from legoclf.benchmarks.device.emit import number, percent
from legoclf.benchmarks.device.result import Series
from legoclf.benchmarks.device.samples import Estimate
from legoclf.benchmarks.plot_style import INK, MARKS, SERIES, label, number_ticks
from legoclf.benchmarks.report_data import STEPS, Configuration, Reached, Roof
from legoclf.retrain.drawing import Draw

#: Inches: of a row that has its name above it, of what stands around the rows, of a row of the legend.
_ROW, _AROUND, _LEGEND_ROW = 0.5, 0.75, 0.22

_PLOT = 3.4


def steps(found: Sequence[Configuration]) -> Draw | None:
    """Median milliseconds of an image by step, a bar for each configuration."""
    found = [each for each in found if each.steps]
    if not found:
        return None

    def draw(figure: Any) -> None:
        axes = _rows(figure, [each.name for each in found], legend_rows=1 if figure.get_figwidth() > 6 else 2)
        present = [step for step in STEPS if any(step in each.steps for each in found)]
        left = np.zeros(len(found))
        for step in present:
            width = np.array([each.steps.get(step, 0.0) for each in found])
            colour = SERIES[list(STEPS).index(step)]
            axes.barh(range(len(found)), width, 0.42, left, color=colour, label=STEPS[step])
            left += width
        for row, total in enumerate(left):
            axes.text(total + left.max() * 0.01, row, number(float(total)), va="center", fontsize=8)
        axes.set_xlim(0, float(left.max()) * 1.12)
        axes.set_xlabel("ms an image, median of each step")
        columns = len(present) if figure.get_figwidth() > 6 else 3
        figure.legend(loc="outside lower left", ncols=columns, columnspacing=1.2)

    return draw


def spread(series: Sequence[Series], names: Sequence[str]) -> Draw | None:
    """All raw samples of some series in milliseconds: quartiles, p50, p90, p99 and the largest.

    Args:
        names: what each is called in the plot.
    """
    samples = [np.concatenate([np.asarray(turn, float) for turn in one.turns]) for one in series]
    shown = [(name, each) for name, each in zip(names, samples, strict=True) if each.min() > 0]
    if not shown:
        return None

    def draw(figure: Any) -> None:
        axes = _rows(figure, [name for name, _ in shown], legend_rows=1)
        axes.set_xscale("log")
        for row, (_, each) in enumerate(shown):
            low, lower, p50, upper, p90, p99 = np.percentile(each, [1, 25, 50, 75, 90, 99])
            axes.plot([low, p99], [row, row], color=SERIES[0], linewidth=1)
            axes.plot([lower, upper], [row, row], color=SERIES[5], linewidth=8, solid_capstyle="butt")
            for value, mark, text in ((p50, "|", "p50"), (p90, "D", "p90"), (p99, "s", "p99")):
                size = 13 if mark == "|" else 4
                colour = INK if mark == "|" else SERIES[0]
                named = text if row == 0 else None
                axes.plot(
                    [value], [row], mark, color=colour, markersize=size, markeredgewidth=1.6, label=named
                )
            named = "largest" if row == 0 else None
            axes.plot([each.max()], [row], "x", color=SERIES[1], markersize=6, label=named)
        number_ticks(axes)
        axes.set_xlabel("ms a call; bar: middle half, line: 1st to 99th percentile")
        figure.legend(loc="outside lower left", ncols=4, columnspacing=1.2, handletextpad=0.3)

    return draw


def roofline(found: Sequence[Roof]) -> Draw | None:
    """Attainable GFLOP/s against FLOPs a byte of each machine, and what was reached below."""
    if not found:
        return None

    def draw(figure: Any) -> None:
        is_wide = figure.get_figwidth() > 6
        entries = sum(1 + len(_by_network(roof.reached)) for roof in found)
        figure.set_figheight(_PLOT + _AROUND + _LEGEND_ROW * (-(-entries // 2) if is_wide else entries))
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_yscale("log")
        bounds = [roof.bound for roof in found]
        ends = [bound.intensity for bound in bounds]
        ends += [bound.peak_gflops / bound.bandwidth_gb_s for bound in bounds]
        x = np.geomspace(min(ends) / 3, max(ends) * 3, 128)
        for place, roof in enumerate(found):
            _draw_roof(axes, x, roof, SERIES[place % len(SERIES)])
        lowest = min(
            [each.gflops for roof in found for each in roof.reached]
            + [bound.intensity * bound.bandwidth_gb_s / 10 for bound in bounds]
        )
        axes.set_ylim(lowest / 2, max(bound.peak_gflops for bound in bounds) * 2)
        axes.set_xlim(x[0], x[-1])
        axes.grid(which="major")
        number_ticks(axes, both=True)
        axes.set_xlabel("FLOPs a byte of memory traffic")
        axes.set_ylabel("GFLOP/s")
        figure.legend(loc="outside lower left", ncols=2 if is_wide else 1)

    return draw


def bars(series: Sequence[Series], unit: str) -> Draw | None:
    """The median of each series with its interval, all of one unit."""
    if not series:
        return None

    def draw(figure: Any) -> None:
        axes = _rows(figure, [one.name for one in series], legend_rows=0)
        middles = [one.summary.median for one in series]
        largest = max(estimate.high or estimate.value for estimate in middles) or 1.0
        for row, estimate in enumerate(middles):
            axes.barh([row], [estimate.value], 0.42, color=SERIES[0])
            reach = estimate.value
            if estimate.low is not None and estimate.high is not None:
                axes.plot([estimate.low, estimate.high], [row, row], color=INK, linewidth=1.6)
                reach = max(reach, estimate.high)
            axes.text(reach + largest * 0.01, row, number(estimate.value), va="center", fontsize=8)
        axes.set_xlim(0, largest * 1.14)
        axes.set_xlabel(f"{unit}, median; line: its 95 % interval")

    return draw


def growth(lines: Mapping[str, Sequence[tuple[int, Estimate]]], unit: str) -> Draw | None:
    """A quantity by number of images, both axes logarithmic, with intervals.

    Args:
        lines: by name, the number of images and the quantity, more than 0.
    """
    if not lines or min(estimate.value for points in lines.values() for _, estimate in points) <= 0:
        return None

    def draw(figure: Any) -> None:
        columns = 2 if figure.get_figwidth() > 6 else 1
        figure.set_figheight(_PLOT * 0.8 + _AROUND + _LEGEND_ROW * -(-len(lines) // columns))
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_yscale("log")
        for place, (name, points) in enumerate(lines.items()):
            colour = SERIES[place % len(SERIES)]
            ranked = sorted(points)
            counts, values = [count for count, _ in ranked], [estimate.value for _, estimate in ranked]
            mark = MARKS[place % len(MARKS)]
            axes.plot(
                counts, values, marker=mark, color=colour, label=label(name), markersize=5, linewidth=1.2
            )
            for count, estimate in ranked:
                if estimate.low is not None and estimate.high is not None:
                    axes.plot(
                        [count, count], [estimate.low, estimate.high], color=colour, linewidth=4, alpha=0.3
                    )
        low, high = axes.get_ylim()
        if high < 4 * low:
            # What hardly grows is not to look as if it did.
            middle = (low * high) ** 0.5
            axes.set_ylim(middle / 2, middle * 2)
        axes.grid(which="major")
        number_ticks(axes, both=True)
        axes.set_xlabel("images")
        axes.set_ylabel(unit)
        figure.legend(loc="outside lower left", ncols=columns)

    return draw


def _draw_roof(axes: Any, x: np.ndarray, roof: Roof, colour: str) -> None:
    """A roof, the model's place on it, and a mark for each batch that was measured."""
    bound = roof.bound
    attainable = np.minimum(bound.peak_gflops, x * bound.bandwidth_gb_s)
    peak = f"{label(bound.machine)}, {label(bound.precision)}, {number(bound.peak_gflops)} GFLOP/s"
    axes.plot(
        x,
        attainable,
        color=colour,
        linewidth=1.8 if roof.reached else 1.0,
        label=f"{peak}: {number(bound.bound_ms)} ms",
    )
    top = min(bound.peak_gflops, bound.intensity * bound.bandwidth_gb_s)
    axes.plot([bound.intensity], [top], "o", color=colour, markerfacecolor="none", markersize=7)
    for place, (network, reached) in enumerate(_by_network(roof.reached).items(), 1):
        shares = percent(min(each.share for each in reached)), percent(max(each.share for each in reached))
        told = shares[0] if shares[0] == shares[1] else " to ".join(shares)
        axes.plot(
            [each.intensity for each in reached],
            [each.gflops for each in reached],
            MARKS[place % len(MARKS)],
            color=colour,
            markersize=5,
            label=f"{label(network)}: {told} of it",
        )


def _by_network(reached: Sequence[Reached]) -> dict[str, list[Reached]]:
    grouped: dict[str, list[Reached]] = {}
    for each in reached:
        grouped.setdefault(each.network, []).append(each)
    return grouped


def _rows(figure: Any, names: Sequence[str], legend_rows: int) -> Any:
    """Axes with a row for each name, from the top down, its name above it: names may be long."""
    figure.set_figheight(len(names) * _ROW + _AROUND + _LEGEND_ROW * legend_rows)
    axes = figure.subplots()
    axes.set_ylim(len(names) - 0.5, -0.75)
    axes.set_yticks([])
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    for row, name in enumerate(names):
        axes.text(
            0.006,
            row - 0.36,
            label(name, int(figure.get_figwidth() * 12)),
            fontsize=8,
            transform=axes.get_yaxis_transform(),
        )
    return axes
