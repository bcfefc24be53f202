"""report/index.html of a bundle: figures, confusion matrix and mistakes in one file, no network."""

import base64
import html
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from legoclf.errors import ImageError
from legoclf.image import read_image
from legoclf.retrain.evaluate import Mistake, Report

#: Pictures of mistakes shown at most, and their longer side in pixels: the file stays small.
MAX_PICTURES = 60
PICTURE_SIDE = 120

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
       color: #1d2430; background: #fff; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; }
.big { font-size: 2.6rem; font-weight: 650; } .note { color: #5b6472; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; } td, th { padding: .2rem .6rem; text-align: right; }
td:first-child, th:first-child { text-align: left; }
.classes tr:nth-child(even) { background: #f4f6f8; }
.bar { display: inline-block; width: 7rem; height: .7rem; background: #e3e7ec; text-align: left; }
.bar i { display: block; height: 100%; background: #2b6cb0; }
.matrix { font-size: .75rem; } .matrix td { min-width: 1.3rem; text-align: center; padding: .2rem; }
.matrix th { font-weight: 500; white-space: nowrap; }
.matrix thead th { writing-mode: vertical-rl; transform: rotate(180deg); padding: .4rem 0; }
.facts td { text-align: left; vertical-align: top; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; width: 9.5rem; }
figure img { width: 120px; height: 120px; object-fit: contain; background: #eef1f4; }
figcaption { font-size: .8rem; overflow-wrap: anywhere; }
.wrong { color: #b3261e; }
"""


def write_report(
    path: Path, title: str, report: Report, pictures: Mapping[str, str], facts: Mapping[str, object]
) -> None:
    """Write the page.

    Args:
        path: the HTML file to write.
        report: figures of the test set.
        pictures: the file of each image, by its path in the data set.
        facts: what the run was, name and value, shown as a table.
    """
    low, high = report.interval
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}: legoclf report</title><style>{_STYLE}</style>",
        f"<h1>{_text(title)}</h1><p class=note>What the classifier does on images it was not trained on</p>",
        f"<p><span class=big>{report.accuracy:.1%}</span> of {report.images} test images named right"
        f" <span class=note>(95 % interval {low:.1%} to {high:.1%})</span></p>",
        "<h2>Each class</h2>",
        *_class_table(report),
        "<h2>What was taken for what</h2>",
        "<p class=note>Rows are the truth, columns the answer.</p>",
        *_matrix(report),
        f"<h2>Mistakes ({len(report.mistakes)})</h2>",
        *_mistakes(report.mistakes, pictures),
        "<h2>The run</h2><div class=scroll><table class=facts>",
        *(f"<tr><td>{_text(name)}<td>{_text(value)}" for name, value in facts.items()),
        "</table></div></html>\n",
    ]
    path.write_text("\n".join(parts), encoding="utf-8")


def _text(value: object) -> str:
    return html.escape(str(value))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _class_table(report: Report) -> Iterable[str]:
    yield "<div class=scroll><table class=classes>"
    yield "<tr><th>class<th>test images<th>found (recall)<th><th>right when named (precision)"
    for figures in report.per_class:
        share = 100 * (figures.recall or 0)
        yield (
            f"<tr><td>{_text(figures.label)}<td>{figures.images}<td>{_percent(figures.recall)}"
            f'<td><span class=bar><i style="width:{share:.0f}%"></i></span>'
            f"<td>{_percent(figures.precision)}"
        )
    yield "</table></div>"


def _matrix(report: Report) -> Iterable[str]:
    yield "<div class=scroll><table class=matrix><thead><tr><th>"
    yield from (f"<th>{_text(label)}" for label in report.labels)
    yield "</thead>"
    for row, label in enumerate(report.labels):
        yield f"<tr><th>{_text(label)}"
        total = max(1, int(report.confusion[row].sum()))
        for column, count in enumerate(report.confusion[row]):
            if not count:
                yield "<td>"
                continue
            colour = "43,108,176" if row == column else "179,38,30"
            yield f'<td style="background:rgba({colour},{0.15 + 0.6 * count / total:.2f})">{count}'
    yield "</table></div>"


def _mistakes(mistakes: list[Mistake], pictures: Mapping[str, str]) -> Iterable[str]:
    if not mistakes:
        yield "<p>None.</p>"
        return
    if len(mistakes) > MAX_PICTURES:
        yield f"<p class=note>The {MAX_PICTURES} that the classifier was surest of.</p>"
    yield "<div class=pictures>"
    for mistake in sorted(mistakes, key=lambda m: (-m.probability, m.path))[:MAX_PICTURES]:
        yield (
            f'<figure><img alt="" src="{_picture(pictures[mistake.path])}"><figcaption>'
            f"{_text(mistake.truth)}<br><span class=wrong>named {_text(mistake.predicted)},"
            f" {mistake.probability:.0%}</span><br><span class=note>{_text(mistake.path)}</span>"
            "</figcaption></figure>"
        )
    yield "</div>"


def _picture(path: str) -> str:
    """A small JPEG of an image as a data URI; empty if it cannot be read any more."""
    from PIL import Image

    try:
        picture = Image.fromarray(np.ascontiguousarray(read_image(path)))
    except ImageError:
        return ""
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
