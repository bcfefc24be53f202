"""The page as a whole: what the run came to first, then why, then how to run it again."""

import logging
from collections.abc import Iterable
from pathlib import Path

from legoclf.retrain.drawing import Draw
from legoclf.retrain.report import plots
from legoclf.retrain.report.answers import answers_by_cell, confused_pairs, gallery
from legoclf.retrain.report.content import Curve, ReportData
from legoclf.retrain.report.duplicates import duplicates
from legoclf.retrain.report.figures import class_table, data_set, headline, run_facts
from legoclf.retrain.report.markup import Pictures, data_uri, percent, section, smaller, text
from legoclf.retrain.report.matrix import matrix
from legoclf.retrain.report.reliability import calibration, reliabilities
from legoclf.retrain.report.script import SCRIPT, SCRIPT_HASH
from legoclf.retrain.report.style import STYLE

LOGGER = logging.getLogger(__name__)

#: Nothing is loaded, and nothing runs but the page's own script, whatever a label may hold.
_POLICY = (
    f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{SCRIPT_HASH}'; "
    "base-uri 'none'; form-action 'none'"
)


def write_report(folder: Path, title: str, data: ReportData) -> None:
    """Write index.html and the plots as PNG files; the same bytes for the same data.

    Args:
        folder: where to; made if it is missing.
        title: the heading.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = _write_plots(folder, data)
    lines = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{text(title)}: legoclf report</title><style>{STYLE}</style></head><body>",
        *_body(title, data, images),
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    (folder / "index.html").write_text("\n".join(lines), encoding="utf-8")


def _write_plots(folder: Path, data: ReportData) -> dict[str, str]:
    """The plots that this run has, as files of the folder and, by name, as addresses within the page."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        LOGGER.warning(
            "warning: matplotlib is not installed: the report has no plots; pip install 'legoclf[train]'"
        )
        return {}
    draws: dict[str, Draw] = {
        "confusion_matrix": lambda figure: plots.draw_confusion(figure, data.test),
        "calibration": lambda figure: plots.draw_reliability(figure, reliabilities(data)),
    }
    if any(curve.points for curve in data.curves):
        draws["learning_curves"] = lambda figure: plots.draw_curves(figure, data.curves)
    images = {}
    for name, draw in draws.items():
        content = plots.as_png(draw)
        (folder / f"{name}.png").write_bytes(content)
        images[name] = data_uri("image/png", content)
    return images


def _body(title: str, data: ReportData, images: dict[str, str]) -> Iterable[str]:
    parts = list(_parts(data, images))
    yield f"<header><h1>{text(title)}</h1>"
    yield "<p class=note>What the classifier does on images that it was not trained on</p>"
    yield from headline(data)
    yield "<nav aria-label=Contents>"
    yield from (f'<a href="#{name}">{heading}</a>' for name, heading, _ in parts)
    yield "</nav></header><main>"
    for part in parts:
        yield from section(*part)
    yield "</main>"


def _parts(data: ReportData, images: dict[str, str]) -> Iterable[tuple[str, str, Iterable[str]]]:
    """Each section: its name, its heading, its content."""
    pictures = Pictures(data.pictures)
    answers = answers_by_cell(data.test)
    # Made before the matrix, which has most pictures and can do with those that are left.
    pairs = list(confused_pairs(data.test, answers, pictures))
    mistakes = list(gallery(data.test, pictures))
    twins = [] if data.duplicates is None else list(duplicates(data.duplicates, data.test, pictures))
    yield "classes", "Each class", class_table(data.test)
    yield "matrix", "What was taken for what", matrix(data.test, answers, pictures)
    yield "pairs", "Most confused", pairs
    yield "mistakes", f"Mistakes ({len(data.test.mistakes)})", mistakes
    if "learning_curves" in images:
        yield "curves", "Learning curves", _curves(data, images["learning_curves"])
    yield "calibration", "Can the probabilities be trusted?", calibration(data, images.get("calibration"))
    if twins:
        yield "duplicates", "Near-duplicates across the split", twins
    if data.samples:
        yield "samples", "What it was trained on", _samples(data)
    if data.dataset is not None:
        yield "data", "The data set", data_set(data.dataset)
    yield "run", "The run", run_facts(data)


def _samples(data: ReportData) -> Iterable[str]:
    for words, sheet in data.samples.items():
        yield f'<figure><img class=plot alt="{text(words)}" src="{smaller(sheet)}">'
        yield f"<figcaption>{text(words)}</figcaption></figure>"


def _curves(data: ReportData, image: str) -> Iterable[str]:
    told = " ".join(_told(curve) for curve in data.curves if curve.points)
    yield f'<img class=plot alt="Accuracy and loss over the training. {text(told)}" src="{image}">'
    yield f"<p class=note>{text(told)}</p>"


def _told(curve: Curve) -> str:
    """The curve of a phase in words."""
    first, last = curve.points[0], curve.points[-1]
    words = (
        f"{curve.phase}: training accuracy from {percent(first.train_accuracy, 1)} to "
        f"{percent(last.train_accuracy, 1)} at {curve.unit} {last.step}"
    )
    best = plots.best_point(curve.points)
    if best is None:
        return f"{words}; validation images were not looked at on the way."
    accuracy = percent(best.validation_accuracy, 1)
    return f"{words}; best on validation with {accuracy} at {curve.unit} {best.step}."
