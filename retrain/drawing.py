"""How plots look, for the report of a bundle and for that of the benchmarks: an empty figure, set up."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from legoclf.errors import missing_package, printable

#: Draws into an empty figure.
Draw = Callable[[Any], None]


def settings(ink: str, soft: str, grid: str) -> dict[str, Any]:
    """Matplotlib's settings in three colours: of words, of axes, of grids."""
    return {
        "axes.edgecolor": soft,
        "axes.labelcolor": ink,
        "axes.spines.top": False,
        "figure.constrained_layout.use": True,
        "font.family": "sans-serif",
        "font.size": 9,
        "grid.color": grid,
        "legend.frameon": False,
        "text.color": ink,
        # A name with a dollar sign is no formula.
        "text.parse_math": False,
        "xtick.color": soft,
        "xtick.labelcolor": ink,
        "ytick.color": soft,
        "ytick.labelcolor": ink,
    }


@contextmanager
def empty_figure(size: tuple[float, float], chosen: dict[str, Any], extra: str) -> Iterator[Any]:
    """A figure of that size in inches, under those settings, without a window or a state of pyplot.

    Args:
        extra: of legoclf, that brings matplotlib.

    Raises:
        LegoclfError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_package("matplotlib", extra) from error
    with matplotlib.rc_context(chosen), warnings.catch_warnings():
        # Matplotlib's own font lacks many scripts; the page itself shows such signs right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=size)
        FigureCanvasAgg(figure)
        yield figure


def shortened(text: str, longest: int = 44) -> str:
    """A name that may be a stranger's, fit for a plot: one line, and not too long."""
    shown = printable(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
