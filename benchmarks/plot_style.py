"""How plots of the report look, and how a figure becomes SVG for a page or a PNG file.

Figures are drawn in the colours of a light page. In SVG each becomes a variable of the page's style, so that
one drawing serves light and dark. The colours of data are those of M. Okabe and K. Ito, "Color Universal
Design" (2008), which people who see few colours can tell apart; marks differ in shape as well.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from legoclf.benchmarks.device.emit import number
from legoclf.errors import printable
from legoclf.retrain.drawing import Draw, empty_figure, settings, shortened

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

_SETTINGS = {**settings(INK, SOFT, GRID), "axes.spines.right": False, "svg.fonttype": "none"}


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
    return shortened(printable(text).lstrip("_") or "–", longest)


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
    """An empty figure of one of the two widths; whoever draws gives it a height of its own."""
    with empty_figure((width, 3), {**_SETTINGS, "svg.hashsalt": key}, "bench") as figure:
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
