"""Single answers with their images: the mistakes, and the pairs of classes that are taken for one another."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from legoclf.retrain.evaluate import Mistake, Report
from legoclf.retrain.heads import softmax
from legoclf.retrain.report.markup import Pictures, bar, count, percent, text

#: Mistakes and pairs of classes shown at most.
MAX_MISTAKES = 60
MAX_PAIRS = 12


class Answer(NamedTuple):
    """One test image: its path in the data set, and the probability of the name it got."""

    path: str
    probability: float


#: The answers of a cell of the confusion matrix, by truth and prediction, the surest first.
Answers = Mapping[tuple[int, int], list[Answer]]


def answers_by_cell(report: Report) -> Answers:
    """Every test image under its truth and its answer."""
    predicted = report.logits.argmax(axis=1)
    sure = softmax(report.logits).max(axis=1)
    cells: defaultdict[tuple[int, int], list[Answer]] = defaultdict(list)
    for index in sorted(range(len(sure)), key=lambda i: (-float(sure[i]), report.paths[i])):
        cell = (int(report.truth[index]), int(predicted[index]))
        cells[cell].append(Answer(report.paths[index], float(sure[index])))
    return cells


def gallery(report: Report, pictures: Pictures) -> Iterator[str]:
    """The images named wrong, the surest first, with the probabilities of both names."""
    if not report.mistakes:
        yield "<p>None: every test image was named right.</p>"
        return
    surest = sorted(report.mistakes, key=lambda mistake: (-mistake.probability, mistake.path))[:MAX_MISTAKES]
    if len(surest) < len(report.mistakes):
        yield f"<p class=note>The {len(surest)} that the classifier was surest of.</p>"
    else:
        yield "<p class=note>Those that the classifier was surest of come first.</p>"
    yield "<div class=pictures>"
    for mistake in surest:
        yield f"<figure>{_seen(mistake, pictures)}<figcaption>{_odds(mistake)}"
        yield f"<div class=path>{text(mistake.path)}</div></figcaption></figure>"
    yield "</div>"


def confused_pairs(report: Report, answers: Answers, pictures: Pictures) -> Iterator[str]:
    """Classes that are taken for one another, most often first, with an image of each beside its like."""
    cells = _most_confused(report)
    if not cells:
        yield "<p>None.</p>"
        return
    yield "<p class=note>Left an image that was named wrong, right one that bears that name rightly.</p>"
    yield "<div class=pairs>"
    for row, column in cells:
        truth, named = report.labels[row], report.labels[column]
        times = count(int(report.confusion[row, column]), "image")
        yield f"<div class=pair><h3>{text(truth)} <span class=named>named {text(named)}</span></h3>"
        total = int(report.confusion[row].sum())
        yield f"<p class=note>{times} of {total}{_way_back(report, row, column)}</p>"
        yield "<div>"
        wrong = answers[row, column][0]
        yield _one(wrong.path, f"{truth}, named {named}", "this was named wrong", pictures)
        right = answers.get((column, column))
        if right:
            yield _one(right[0].path, f"{named}, named right", f"this is {named}", pictures)
        yield "</div></div>"
    yield "</div>"


def _most_confused(report: Report) -> list[tuple[int, int]]:
    wrong = report.confusion * ~np.eye(len(report.labels), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_PAIRS].tolist()
    cells = [divmod(place, len(report.labels)) for place in order]
    return [cell for cell in cells if wrong[cell]]


def _way_back(report: Report, row: int, column: int) -> str:
    back = int(report.confusion[column, row])
    return f"; {back} the other way round" if back else ""


def _one(path: str, description: str, words: str, pictures: Pictures) -> str:
    return f"<figure>{pictures.tag(path, description)}<figcaption>{text(words)}</figcaption></figure>"


def _seen(mistake: Mistake, pictures: Pictures) -> str:
    return pictures.tag(mistake.path, f"{mistake.truth}, named {mistake.predicted}: {mistake.path}")


def _odds(mistake: Mistake) -> str:
    return (
        f"<div class=odds><span class=named>named {text(mistake.predicted)}</span>"
        f"<span>{percent(mistake.probability)}</span>{bar(mistake.probability, 'wrong')}"
        f"<span>is {text(mistake.truth)}</span><span>{percent(mistake.truth_probability)}</span>"
        f"{bar(mistake.truth_probability)}</div>"
    )
