"""The confusion matrix as a table; each cell opens the images behind it."""

from collections.abc import Iterator, Sequence

import numpy as np

from legoclf.retrain.evaluate import Report
from legoclf.retrain.report.answers import Answer, Answers
from legoclf.retrain.report.markup import Pictures, count, percent, text

#: Classes with a row of their own: of more, the most confused.
MOST_CLASSES = 120

#: Images shown of a cell: of mistakes, and of right answers. Of the rest so many are named.
MOST_WRONG, MOST_RIGHT, MOST_NAMED = 12, 6, 40


def matrix(report: Report, answers: Answers, pictures: Pictures) -> Iterator[str]:
    """The table, and below it what its cells open."""
    classes = _shown(report)
    yield "<p class=note>Rows are the truth, columns the answer: blue is right, orange wrong, the stronger, "
    yield "the larger the share of the row. A number opens its images.</p>"
    if len(classes) < len(report.labels):
        yield f"<p class=note>The {len(classes)} classes of {len(report.labels)} with most mistakes.</p>"
    yield '<div class="scroll matrixbox" tabindex=0 role=region aria-label="Confusion matrix">'
    yield "<table class=matrix><thead><tr><th scope=col>truth \\ answer"
    yield from (f"<th scope=col><span>{text(report.labels[column])}</span>" for column in classes)
    yield "</thead><tbody>"
    for row in classes:
        label = text(report.labels[row])
        yield f'<tr><th scope=row title="{label}">{label}{"".join(_cells(report, row, classes))}'
    yield "</tbody></table></div>"
    yield from _panels(report, classes, answers, pictures)


def _shown(report: Report) -> list[int]:
    classes = len(report.labels)
    if classes <= MOST_CLASSES:
        return list(range(classes))
    wrong = report.confusion * ~np.eye(classes, dtype=bool)
    mistakes = wrong.sum(axis=0) + wrong.sum(axis=1)
    return sorted(np.argsort(-mistakes, kind="stable")[:MOST_CLASSES].tolist())


def _cells(report: Report, row: int, classes: Sequence[int]) -> Iterator[str]:
    total = max(1, int(report.confusion[row].sum()))
    for column in classes:
        number = int(report.confusion[row, column])
        if not number:
            yield "<td>"
            continue
        colour = "right" if row == column else "wrong"
        words = f"{number}: {report.labels[row]}, named {report.labels[column]}"
        yield (
            f'<td style="background:rgba(var(--{colour}),{0.18 + 0.6 * number / total:.2f})">'
            f'<a href="#c{row}-{column}" title="{text(words)}" aria-label="{text(words)}">{number}</a>'
        )


def _panels(report: Report, classes: Sequence[int], answers: Answers, pictures: Pictures) -> Iterator[str]:
    """What the cells open; mistakes first, as the pictures that a page can carry may not do for all."""
    kept = set(classes)
    cells = [cell for cell in answers if kept.issuperset(cell)]
    for row, column in sorted(cells, key=lambda cell: (cell[0] == cell[1], cell)):
        entries = answers[row, column]
        named = "named right" if row == column else f"named {text(report.labels[column])}"
        yield f'<div class=cell id=c{row}-{column}><a class=close href="#matrix">close</a>'
        yield f"<h3>{text(report.labels[row])}, {named}: {count(len(entries), 'image')}</h3>"
        yield from _images(entries, MOST_RIGHT if row == column else MOST_WRONG, pictures)
        yield "</div>"


def _images(entries: Sequence[Answer], most: int, pictures: Pictures) -> Iterator[str]:
    yield "<div class=pictures>"
    for answer in entries[:most]:
        yield f"<figure>{pictures.tag(answer.path, answer.path)}<figcaption>{percent(answer.probability)}"
        yield f"<div class=path>{text(answer.path)}</div></figcaption></figure>"
    yield "</div>"
    rest = entries[most:]
    if rest:
        yield f"<p class=path>Also: {', '.join(text(answer.path) for answer in rest[:MOST_NAMED])}"
        yield f" and {len(rest) - MOST_NAMED} more</p>" if len(rest) > MOST_NAMED else "</p>"
