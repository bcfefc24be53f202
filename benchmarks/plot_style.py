"""How plots of the report look, and how a figure becomes SVG for a page or a PNG file.

Figures are drawn in the colours of a light page. In SVG each becomes a variable of the page's style, so that
one drawing serves light and dark. The colours of data are those of M. Okabe and K. Ito, "Color Universal
Design" (2008), which people who see few colours can tell apart; marks differ in shape as well.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from legoclf.benchmarks.device.emit import number
from legoclf.errors import missing_package, printable

#: Colour by the name of its variable: on a light page, and on a dark one.
COLOURS = {
    "ink": ("#1d2430", "#e6e9ee"),
    "soft": ("#5b6473", "#9aa4b2"),
    "grid": ("#dde1e7", "#323a46"),
    "c0": ("#0072b2", "#4aa8e8"),
    "c1": ("#d55e00", "#ff8a4c"),
    "c2": ("#009e73", "#34c79d"),
    "c3": ("#b5588f", "#e59bc6"),
    "c4": ("#e69f00", "#f2bd4a"),
    "c5": ("#56b4e9", "#9ad7ff"),
}

INK, SOFT, GRID = (COLOURS[name][0] for name in ("ink", "soft", "grid"))
SERIES = tuple(light for name, (light, _) in COLOURS.items() if name.startswith("c"))
MARKS = "osD^vPX*"

#: Widths in inches: of a figure for a wide page, and for one as narrow as a phone.
WIDE, NARROW = 8.4, 4.3

_SETTINGS: dict[str, Any] = {
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": GRID,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    # A name of a series with a dollar sign is no formula.
    "text.parse_math": False,
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
}

#: Draws into an empty figure of one of the two widths, at a height of its own.
Draw = Callable[[Any], None]


def inline_svg(draw: Draw, key: str, title: str) -> str:
    """Two drawings, for a wide and for a narrow page, of which the page's style shows one.

    Args:
        key: of letters; keeps the ids of one figure apart from those of all others in the page.
        title: for those who cannot see it; escaped already.
    """
    return "".join(
        f'<div class="{name}">{_svg(draw, width, f"{key}-{name}", title)}</div>'
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    )


def save_png(draw: Draw, path: Path) -> None:
    """Write the wide drawing as a PNG file on white."""
    with _figure(WIDE, path.stem) as figure:
        draw(figure)
        figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": None})


def label(text: str, longest: int = 44) -> str:
    """A name that may be a stranger's, fit for a plot: one line, not too long, not hidden from a legend."""
    shown = printable(text).lstrip("_") or "–"
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def number_ticks(axes: Any, both: bool = False) -> None:
    """Plain numbers on a logarithmic axis, at 1, 2 and 5 where it is short."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    form: Callable[[float, int], str] = lambda value, place: number(value)  # noqa: E731
    for axis in (axes.xaxis, axes.yaxis) if both else (axes.xaxis,):
        low, high = axis.get_view_interval()
        is_short = high / max(low, 1e-12) < 300
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if is_short else (1.0,)))
        axis.set_major_formatter(FuncFormatter(form))
        axis.set_minor_formatter(NullFormatter())


@contextmanager
def _figure(width: float, key: str) -> Iterator[Any]:
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_package("matplotlib", "bench") from error
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": key}), warnings.catch_warnings():
        # A sign that matplotlib's own font lacks is drawn by the browser in one that has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width, 3))
        FigureCanvasAgg(figure)
        yield figure


def _svg(draw: Draw, width: float, key: str, title: str) -> str:
    with _figure(width, key) as figure:
        draw(figure)
        stream = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    opening, body = text[text.index("<svg") :].split(">", 1)
    view_box = re.search(r'viewBox="[^"]*"', opening)
    assert view_box is not None
    body = _tags_only(body, lambda tag: _adapted(tag, key))
    return f'<svg {view_box[0]} role="img" aria-label="{title}">{body}'


def _tags_only(markup: str, change: Callable[[str], str]) -> str:
    """Change what stands within tags, and no word that a reader sees."""
    return re.sub(r"<[^>]*>", lambda match: change(match[0]), markup)


def _adapted(tag: str, key: str) -> str:
    """Ids made the figure's own, colours made variables, fonts the page's."""
    tag = re.sub(r'\bid="([^"]*)"', rf'id="{key}-\1"', tag)
    tag = re.sub(r'(?:xlink:)?href="#([^"]*)"', rf'href="#{key}-\1"', tag)
    tag = re.sub(r"url\(#([^)]*)\)", rf"url(#{key}-\1)", tag)
    tag = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", tag)
    for name, (light, _) in COLOURS.items():
        tag = tag.replace(light, f"var(--{name})")
    return tag
