"""What a trained classifier needs next, in one line: said by its figures, with the doubt that they leave."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp

from legoclf.data.dataset import DataSet
from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain.evaluate import Report, wilson_interval
from legoclf.retrain.fit_watch import LEARNING, OVERFITTING, UNDERFITTING, Verdict
from legoclf.split import TRAIN, VALIDATION

#: Mistakes between two classes from which on they are named, unless chance alone makes as many.
_FEW_MISTAKES = 3
_CHANCE = 0.05

#: Validation images a class, below which what was chosen by them is chosen by chance.
_FEW_VALIDATION = 3

#: Width of the interval of the accuracy, from which on the line tells of it.
_WIDE = 0.08


@dataclass(frozen=True)
class Facts:
    """What a run did, as far as it decides what to try next.

    fine_tuned: the whole network learnt. can_fine_tune: it could. keeps_best: the weights are those of the
    best epoch, whatever came after it. train_accuracy: of the training images, as a fraction; None: unknown.
    """

    fine_tuned: bool = False
    can_fine_tune: bool = True
    augmented: bool = False
    keeps_best: bool = True
    cross_validated: bool = False
    train_accuracy: float | None = None


def advice(report: Report | None, dataset: DataSet, facts: Facts, verdict: Verdict | None = None) -> str:
    """One line on what to try next: the first that the figures speak for.

    Args:
        report: of the test set; None if it is empty.
        verdict: on the training, where there were epochs.
    """
    if report is None:
        return "next: nothing can be said without test images: give --testing_percentage 10 or more"
    if not report.mistakes:
        return (
            f"next: all {report.images} test images are named right, which shows {report.interval[0]:.0%} "
            "accuracy or more: try photos of another day, light and place"
        )
    return f"next: {next(_candidates(report, dataset, facts, verdict))}{_doubt(report, facts)}"


def require_accuracy(report: Report | None, least: float | None) -> None:
    """Refuse a classifier whose accuracy on the test set is below ``least``; None asks for nothing.

    Raises:
        LegoclfError: it is below, or there is no test image to tell by.
    """
    if least is None:
        return
    if report is None:
        raise LegoclfError(
            f"--assert_accuracy_at_least {least:g}: there is no test image to tell by: "
            "give --testing_percentage 10 or more; nothing was exported"
        )
    if report.accuracy < least:
        low, high = report.interval
        raise LegoclfError(
            f"--assert_accuracy_at_least {least:g}: the accuracy is {report.accuracy:.4g} on {report.images} "
            f"test images (95 % interval {low:.3f} to {high:.3f}): nothing was exported; "
            "ask for less, or train on more images"
        )


def check_least_accuracy(least: float | None) -> None:
    """Refuse a least accuracy that is no fraction.

    Raises:
        UsageError: with the fraction that was probably meant.
    """
    if least is None or 0 <= least <= 1:
        return
    meant = f" ({least / 100:g} for {least:g} %)" if 1 < least <= 100 else ""
    raise UsageError(f"--assert_accuracy_at_least: got {least:g}, expected a fraction from 0 to 1{meant}")


def _candidates(report: Report, dataset: DataSet, facts: Facts, verdict: Verdict | None) -> Iterator[str]:
    """What to try, that which the figures speak for most first; never empty."""
    if verdict is not None:
        yield from _of_training(facts, verdict)
    yield from _confused_pair(report)
    yield from _few_validation_images(report, dataset)
    yield from _gap(report, facts)
    if facts.can_fine_tune and not facts.fine_tuned:
        yield "train the whole network: --fine_tune"
    yield _weakest_class(report, dataset)


def _of_training(facts: Facts, verdict: Verdict) -> Iterator[str]:
    if verdict.kind == LEARNING:
        yield f"train longer: {verdict.line.partition(': ')[2]}; --epochs {2 * (verdict.best or 1)}, say"
    if verdict.kind == UNDERFITTING:
        more = (
            "a larger --learning_rate or network" if facts.fine_tuned else "--fine_tune or a larger network"
        )
        yield f"learn more from what there is ({more}): {verdict.line}"
    if verdict.kind == OVERFITTING and not facts.keeps_best:
        yield f"stop earlier, about {verdict.best}: {verdict.line}"


def _confused_pair(report: Report) -> Iterator[str]:
    """The two classes taken for each other most, if it is more than chance makes of so many mistakes."""
    both = report.confusion + report.confusion.T
    count, first, second = max(
        (int(both[a, b]), -a, -b) for a in range(len(both)) for b in range(a + 1, len(both))
    )
    pairs, wrong = len(both) * (len(both) - 1) // 2, len(report.mistakes)
    by_chance = pairs * _poisson_tail(count, wrong / pairs)
    if count >= _FEW_MISTAKES and (pairs == 1 or by_chance < _CHANCE):
        yield (
            f"more images of {report.labels[-first]!r} and {report.labels[-second]!r}, "
            f"which are taken for each other in {count} of {wrong} mistakes"
        )


def _few_validation_images(report: Report, dataset: DataSet) -> Iterator[str]:
    images = len(dataset.by_split(VALIDATION))
    if 0 < images < _FEW_VALIDATION * len(report.labels):
        yield (
            f"more validation images (--validation_percentage): {images} of {len(report.labels)} classes "
            "are few to choose by"
        )


def _gap(report: Report, facts: Facts) -> Iterator[str]:
    """What is right on the training images and wrong on others: it has learnt them by heart."""
    if facts.train_accuracy is None or facts.train_accuracy <= report.interval[1]:
        return
    seen = (
        f"{facts.train_accuracy:.0%} of the training images are named right, {report.accuracy:.0%} of others"
    )
    if facts.can_fine_tune and not facts.fine_tuned:
        yield f"train the whole network (--fine_tune): {seen}"
    if not facts.augmented:
        yield f"augment (--random_rotation, --random_crop and others): {seen}"


def _weakest_class(report: Report, dataset: DataSet) -> str:
    """The class found least often, by what is sure of it: few test images leave much open."""
    tested = [figures for figures in report.per_class if figures.images]
    right = {figures.label: round((figures.recall or 0) * figures.images) for figures in tested}
    weakest = min(tested, key=lambda one: wilson_interval(right[one.label], one.images)[1])
    train = dataset.counts()[weakest.label][TRAIN]
    return (
        f"more images of {weakest.label!r} ({train} to train on): "
        f"{right[weakest.label]} of its {weakest.images} test images are named right"
    )


def _doubt(report: Report, facts: Facts) -> str:
    low, high = report.interval
    if high - low < _WIDE:
        return ""
    better = "" if facts.cross_validated else "; --cross_validate 5 tells it closer"
    return f" ({report.images} test images show {low:.0%} to {high:.0%} accuracy only{better})"


def _poisson_tail(count: int, mean: float) -> float:
    """Probability of ``count`` events or more where ``mean`` are expected."""
    term, below = exp(-mean), 0.0
    for number in range(count):
        below += term
        term *= mean / (number + 1)
    return max(0.0, 1.0 - below)
