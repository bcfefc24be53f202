"""The report: results as one HTML page that needs neither network nor script, and its plots as files.

The same results give the same page, byte for byte.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from legoclf.benchmarks import report_plots, report_tables
from legoclf.benchmarks.device.result import Result
from legoclf.benchmarks.gallery import NO_HARDWARE, Gallery, group
from legoclf.benchmarks.plot_latency import latency_accuracy
from legoclf.benchmarks.plot_style import inline_svg, save_png
from legoclf.benchmarks.published import Published, load_published
from legoclf.benchmarks.report_data import by_count, configurations, machine_bounds, roofs
from legoclf.benchmarks.report_style import style
from legoclf.benchmarks.text import escaped
from legoclf.retrain.drawing import Draw

#: Series of one unit that a plot of bars takes; more stand in the table alone.
_MOST_BARS = 40

#: Units that have a plot of bars, and their words.
_BARS = {"1/s": "a second", "s": "seconds", "ms": "ms", "MB": "MB"}


@dataclass(frozen=True)
class Plot:
    """One drawing. key: letters, digits and hyphens; of its file and of its ids in the page."""

    key: str
    title: str
    caption: str
    draw: Draw


def write_report(path: Path, results: Iterable[Result], published: Sequence[Published] | None = None) -> None:
    """Write the page of some results.

    Args:
        published: figures of others to stand beside; None for those that come with legoclf.

    Raises:
        LegoclfError: matplotlib is not installed.
    """
    path.write_text(render(group(results), load_published() if published is None else published), "utf-8")


def write_plots(
    folder: Path, results: Iterable[Result], published: Sequence[Published] | None = None
) -> list[Path]:
    """Write every plot of the page as a PNG file into a folder; their paths.

    Raises:
        LegoclfError: matplotlib is not installed.
    """
    gallery = group(results)
    folder.mkdir(parents=True, exist_ok=True)
    plots = [_latency_plot(gallery, load_published() if published is None else published)]
    for place, found in enumerate(gallery.results.values()):
        plots += _device_plots(place, found)
        for index, result in enumerate(found):
            plots += _plots(f"d{place}-{index}-{_slug(result.kind)}", result)
    paths = []
    for plot in plots:
        if plot is not None:
            paths.append(folder / f"{plot.key}.png")
            save_png(plot.draw, paths[-1])
    return paths


def render(gallery: Gallery, published: Sequence[Published]) -> str:
    """The page."""
    everything = [result for found in gallery.results.values() for result in found]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>legoclf benchmarks</title><style>{style()}</style>",
        "<h1>Benchmarks</h1>",
        f"<p class=note>{escaped(', '.join(gallery.results))}. Medians of turns with their 95 % intervals; "
        "every figure is worked out from raw samples.</p>",
        _banner(everything),
    ]
    # Of one device, the conditions and the ratios stand first; of many, each device's in its own part.
    is_alone = len(gallery.results) == 1
    ratios = report_tables.ratios(everything) if is_alone else ""
    if is_alone:
        parts.append(report_tables.conditions(everything))
    if ratios:
        parts += ["<h2>Ratios first</h2>", _RATIOS_NOTE, ratios]
    latency = _latency_plot(gallery, published)
    if latency is not None:
        parts += ["<h2>Latency against accuracy</h2>", _figure(latency)]
    for place, (device, found) in enumerate(gallery.results.items()):
        parts += _device(place, device, found, is_alone)
    parts += [
        "<h2>Published by others</h2>",
        "<p class=note>Read, not measured: without raw samples, and with no more conditions than their "
        "sources tell. They are compared with nothing here.</p>",
        report_tables.published(published),
    ]
    if gallery.without:
        parts += [
            "<h2>Not measured</h2><ul>",
            *(f"<li>{escaped(board)}: {NO_HARDWARE}" for board in gallery.without),
            "</ul>",
        ]
    return "\n".join([*parts, "</html>\n"])


_RATIOS_NOTE = (
    "<p class=note>Both sides of a ratio took turns within one run: what slowed the machine slowed both. "
    "They hold where times drift.</p>"
)


def _banner(results: Sequence[Result]) -> str:
    """Which runs were unsteady, and why; "" if none was."""
    lines = []
    for result in results:
        if not result.is_quotable:
            reasons = "; ".join(str(reason) for reason in result.header["unsteady"])
            lines.append(f"<li>{escaped(result.kind)}: {escaped(reasons)}")
    if not lines:
        return ""
    return (
        "<div class=unsteady role=alert><b>Not to be quoted.</b> The machine was unsteady during:"
        f"<ul>{''.join(lines)}</ul></div>"
    )


def _device(place: int, device: str, found: Sequence[Result], is_alone: bool) -> Iterator[str]:
    yield f"<h2>{escaped(device)}</h2>"
    if not is_alone:
        yield report_tables.conditions(found)
    ratios = "" if is_alone else report_tables.ratios(found)
    if ratios:
        yield from ("<h3>Ratios first</h3>", _RATIOS_NOTE, ratios)
    for plot in _device_plots(place, found):
        yield f"<h3>{escaped(plot.title)}</h3>"
        yield _figure(plot)
    yield report_tables.bounds([bound for result in found for bound in machine_bounds(result)])
    for index, result in enumerate(found):
        yield f"<h3>{escaped(result.kind.capitalize())}</h3>"
        yield report_tables.latencies(configurations(result, found))
        yield from map(_figure, _plots(f"d{place}-{index}-{_slug(result.kind)}", result))
        yield report_tables.series(result)
        notes = result.facts.get("notes")
        if isinstance(notes, list) and notes:
            yield "<details><summary>Notes</summary><ul>"
            yield from (f"<li>{escaped(note)}" for note in notes)
            yield "</ul></details>"


def _latency_plot(gallery: Gallery, published: Sequence[Published]) -> Plot | None:
    measured = {
        device: [each for result in found for each in configurations(result, found)]
        for device, found in gallery.results.items()
    }
    draw = latency_accuracy({device: found for device, found in measured.items() if found}, published)
    if draw is None:
        return None
    caption = (
        "Filled: measured here, with 95 % intervals of both; numbers: the smallest and the largest batch. "
        "Hollow: published by others, accuracy not told. Dashed: what the roofline allows at best."
    )
    return Plot("latency-accuracy", "Latency against accuracy", caption, draw)


def _device_plots(place: int, found: Sequence[Result]) -> list[Plot]:
    measured = [each for result in found for each in configurations(result, found)]
    worked_out = [bound for result in found for bound in machine_bounds(result)]
    draw = report_plots.roofline(roofs(measured, worked_out))
    caption = (
        "A roof for each machine: the slope is its memory, the flat part its arithmetic. Hollow: where the "
        "model stands at best, in ms a call; filled: what its compute step reached."
    )
    return (
        [] if draw is None else [Plot(f"d{place}-roofline", "What machines could do at best", caption, draw)]
    )


def _plots(key: str, result: Result) -> list[Plot]:
    """What there is to draw of one result."""
    measured = configurations(result)
    by_name = {series.name: series for series in result.series}
    if measured:
        wholes = [by_name[f"whole, {each.name}"] for each in measured]
        drawn = [
            ("steps", "Where the time goes", "Where the time goes.", report_plots.steps(measured)),
            (
                "spread",
                "Spread of a call",
                "The spread of all raw samples of the whole.",
                report_plots.spread(wholes, [each.name for each in measured]),
            ),
        ]
    else:
        drawn = []
        for unit, words in _BARS.items():
            chosen = [series for series in result.series if series.unit == unit]
            draw = report_plots.growth(by_count(result, unit), words)
            if draw is None and len(chosen) <= _MOST_BARS:
                draw = report_plots.bars(chosen, words)
            drawn.append((_slug(words), f"{result.kind}, {words}", "", draw))
    return [
        Plot(f"{key}-{name}", title, caption, draw)
        for name, title, caption, draw in drawn
        if draw is not None
    ]


def _figure(plot: Plot) -> str:
    caption = f"<figcaption>{escaped(plot.caption)}</figcaption>" if plot.caption else ""
    return f"<figure>{inline_svg(plot.draw, plot.key, escaped(plot.title))}{caption}</figure>"


def _slug(text: str) -> str:
    return "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in text.lower())[:40]
