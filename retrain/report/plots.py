"""The plots of the page, drawn on white: they are files of their own as well.

Colours are those of M. Okabe and K. Ito, "Color Universal Design" (2008); lines differ in their dashes too.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from legoclf.retrain.drawing import Draw, empty_figure, settings, shortened
from legoclf.retrain.evaluate import Report
from legoclf.retrain.heads import Evaluation
from legoclf.retrain.report.content import Curve
from legoclf.retrain.report.reliability import Reliability

INK, SOFT, GRID = "#1d2430", "#56606f", "#dde1e7"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"

#: Classes up to which the matrix has names at its sides, and counts in its cells.
_MOST_NAMES, _MOST_COUNTS = 60, 30

_SETTINGS = settings(INK, SOFT, GRID)


def as_png(draw: Draw) -> bytes:
    """A drawing as a PNG file: the same bytes each time.

    Raises:
        LegoclfError: matplotlib is not installed.
    """
    stream = io.BytesIO()
    with empty_figure((7.6, 4.2), _SETTINGS, "train") as figure:
        draw(figure)
        figure.savefig(stream, format="png", dpi=130, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def draw_confusion(figure: Any, report: Report) -> None:
    """Rows are the truth, columns the answer; the stronger, the larger the share of its row."""
    classes = len(report.labels)
    side = min(11.0, max(4.2, 1.8 + 0.34 * classes))
    figure.set_size_inches(side, side)
    axes = figure.subplots()
    axes.imshow(_shades(report.confusion), interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.set(xlabel="answer", ylabel="truth")
    if classes > _MOST_NAMES:
        return
    names = [shortened(label, 24) for label in report.labels]
    axes.set_xticks(range(classes), names, rotation=90)
    axes.set_yticks(range(classes), names)
    axes.tick_params(length=0)
    if classes <= _MOST_COUNTS:
        for row, column in np.argwhere(report.confusion).tolist():
            axes.text(column, row, str(report.confusion[row, column]), ha="center", va="center", fontsize=8)


def draw_reliability(figure: Any, shown: Sequence[Reliability]) -> None:
    """How often answers are right, by how sure they are; below, how many there are."""
    figure.set_size_inches(5.2, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=":", label="what they should be")
    styles = {1: [(BLUE, "o", "-")], 2: [(ORANGE, "s", "--"), (BLUE, "o", "-")]}[len(shown)]
    for one, (colour, mark, dash) in zip(shown, styles, strict=True):
        error = f"{100 * one.error:.1f} %"
        upper.plot(
            [entry.confidence for entry in one.bins],
            [entry.accuracy for entry in one.bins],
            color=colour, marker=mark, linestyle=dash, markersize=5, label=f"{one.name}: error {error}",
        )  # fmt: skip
    for entry in shown[-1].bins:
        lower.bar(entry.low, entry.count, entry.high - entry.low, align="edge", color=BLUE, edgecolor="white")
    upper.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    lower.set(xlabel="probability of the answer", ylabel="images")
    for axes in (upper, lower):
        axes.grid(True, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines.right.set_visible(False)
    figure.legend(loc="outside lower center", ncols=1)


def draw_curves(figure: Any, curves: Sequence[Curve]) -> None:
    """Accuracy (left) and loss (right) of each phase, side by side; the best validation is marked."""
    shown = [curve for curve in curves if curve.points]
    figure.set_size_inches(7.6 if len(shown) < 3 else 9.6, 4.4)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    losses = [panel.twinx() for panel in panels]
    top = max(1e-3, max(loss for curve in shown for loss in _losses(curve.points)))
    for curve, panel, loss in zip(shown, panels, losses, strict=True):
        _draw_phase(panel, loss, curve)
        loss.set_ylim(0, 1.05 * top)
        panel.set_ylim(0, 1.02)
        panel.grid(True, linewidth=0.6)
        panel.set(xlabel=curve.unit)
        panel.set_title(shortened(curve.phase), fontsize=10, loc="left")
        if loss is not losses[-1]:
            loss.tick_params(right=False, labelright=False)
            loss.spines.right.set_visible(False)
            panel.spines.right.set_visible(False)
    panels[0].set_ylabel("accuracy (lines)")
    losses[-1].set_ylabel("loss in nats (dashes)")
    handles: dict[str, Any] = {}
    for axes in (*panels, *losses):
        handles.update({name: handle for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)})
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)


def best_point(points: Sequence[Evaluation]) -> Evaluation | None:
    """The highest validation accuracy, and of equal ones the lowest loss; None if none was measured."""
    measured = [
        (-point.validation_accuracy, point.validation_cross_entropy or 0.0, index)
        for index, point in enumerate(points)
        if point.validation_accuracy is not None
    ]
    return points[min(measured)[2]] if measured else None


def _draw_phase(panel: Any, loss: Any, curve: Curve) -> None:
    points = curve.points
    held_out = [point for point in points if point.validation_accuracy is not None]
    mark = "o" if len(points) < 16 else ""
    for name, chosen, colour in (("training", points, BLUE), ("validation", held_out, ORANGE)):
        if not chosen:
            continue
        steps = [point.step for point in chosen]
        prefix = "train" if name == "training" else "validation"
        accuracy = [getattr(point, f"{prefix}_accuracy") for point in chosen]
        entropy = [getattr(point, f"{prefix}_cross_entropy") for point in chosen]
        common = {"color": colour, "marker": mark, "markersize": 3.5, "linewidth": 1.4}
        panel.plot(steps, accuracy, linestyle="-", label=f"{name} accuracy", **common)
        loss.plot(steps, entropy, linestyle="--", label=f"{name} loss", alpha=0.75, **common)
    best = best_point(points)
    if best is not None and len(points) > 1:
        panel.plot(
            best.step, best.validation_accuracy, "*", color=GREEN, markersize=13, markeredgecolor="white",
            label="best on validation", zorder=5,
        )  # fmt: skip


def _losses(points: Sequence[Evaluation]) -> list[float]:
    """Those of a phase but for its first steps, which would flatten all others; finite ones alone."""
    every = [point.train_cross_entropy for point in points]
    every += [
        point.validation_cross_entropy for point in points if point.validation_cross_entropy is not None
    ]
    finite = [loss for loss in every if np.isfinite(loss)]
    return [float(np.quantile(finite, 0.99))] if finite else [0.0]


def _shades(confusion: np.ndarray) -> np.ndarray:
    """float [C, C, 3]: white for none, and from a light shade on for the share of the row."""
    share = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    strength = np.where(confusion, 0.18 + 0.6 * share, 0)[..., None]
    right = np.eye(len(confusion), dtype=bool)[..., None]
    colour = np.where(right, _rgb(BLUE), _rgb(ORANGE))
    shades: np.ndarray = 1 + (colour - 1) * strength
    return shades


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
