"""Figures as tables and bars: the headline, each class, the data set, the run."""

import shlex
from collections import Counter
from collections.abc import Iterator
from statistics import median

from legoclf.data.dataset import DataSet
from legoclf.errors import ImageError
from legoclf.image_header import read_header_of_file
from legoclf.retrain.evaluate import ClassFigures, Report
from legoclf.retrain.report.content import ReportData
from legoclf.retrain.report.markup import bar, count, percent, text
from legoclf.retrain.report.reliability import reliabilities
from legoclf.split import SPLITS, TRAIN

#: Skipped files named, and images whose size is looked up.
_MOST_SKIPPED, _MOST_SIZES = 20, 5000


def headline(data: ReportData) -> Iterator[str]:
    """The accuracy with its interval, what else is known of the whole, and what to make of it."""
    test = data.test
    low, high = test.interval
    yield f"<p class=headline><span class=big>{percent(test.accuracy, 1)}</span> of "
    yield f"{count(test.images, 'test image')} named right</p>"
    span = f"left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"
    yield f'<div class=interval aria-hidden=true><i style="{span}"></i>'
    yield f'<b style="left:{100 * test.accuracy:.1f}%"></b></div>'
    yield f"<p class=note>95 % interval {percent(low, 1)} to {percent(high, 1)} (Wilson): where the "
    yield "accuracy on more images like these is to be expected.</p><dl class=tiles>"
    yield from (f"<div><dt>{name}<dd>{value}</div>" for name, value in _tiles(data))
    yield "</dl>"
    yield from (f"<p class=advice>{text(line)}</p>" for line in data.notes)


def class_table(report: Report) -> Iterator[str]:
    """Precision, recall, F1 and images of each class."""
    heads = ("class", "images", "recall", "precision", "F1")
    yield "<div class=scroll tabindex=0 role=region aria-label='Each class'>"
    yield "<table class='figures sorts'><thead><tr>"
    yield from (f"<th scope=col>{head}" for head in heads)
    yield "</thead><tbody>"
    for figures in report.per_class:
        yield f"<tr><th scope=row>{text(figures.label)}{_number(figures.images)}"
        yield "".join(
            "<td data-v=-1>–" if share is None else f"<td data-v={share:.4f}>{percent(share)} {bar(share)}"
            for share in (figures.recall, figures.precision, figures.f1)
        )
    yield "</tbody></table></div><p class=note>Recall: of the images of a class, those that were named so. "
    yield "Precision: of the images named so, those that are. F1: the harmonic mean of both.</p>"
    yield _weakest(report)


def data_set(dataset: DataSet) -> Iterator[str]:
    """Images by class and set, their sizes, and what was left out."""
    counts = dataset.counts()
    largest = max(sum(of.values()) for of in counts.values())
    yield f"<p>{text(dataset.summary().splitlines()[0])}. {_evenness(dataset)} {_sizes(dataset)}</p>"
    yield from (f"<p class=advice>{text(line)}</p>" for line in dataset.warnings)
    yield "<p class=key><i></i>train<i class=v></i>validation<i class=t></i>test</p>"
    yield "<div class=scroll tabindex=0 role=region aria-label='The data set'>"
    yield "<table class='figures wide sorts'><thead><tr><th scope=col>class"
    yield from (f"<th scope=col>{head}" for head in ("images", *SPLITS, "split"))
    yield "</thead><tbody>"
    for label, of in counts.items():
        yield f"<tr><th scope=row>{text(label)}{_number(sum(of.values()))}"
        yield "".join(_number(of[split]) for split in SPLITS)
        kinds = zip(("", "v", "t"), SPLITS, strict=True)
        parts = "".join(
            f'<i class="{kind}" style="width:{100 * of[split] / largest:.2f}%"></i>' for kind, split in kinds
        )
        yield f"<td data-v={sum(of.values())}><span class=bar aria-hidden=true>{parts}</span>"
    yield "</tbody></table></div>"
    yield from _skipped(dataset)


def run_facts(data: ReportData) -> Iterator[str]:
    """The command that does it again, and what the run was."""
    if data.command:
        yield f"<p class=note>Again:</p><pre>{text(shlex.join(data.command))}</pre>"
    yield "<div class=scroll><table class='figures facts'><tbody>"
    yield from (f"<tr><th scope=row>{text(name)}<td>{text(value)}" for name, value in data.facts.items())
    if data.versions:
        versions = ", ".join(f"{name} {version}" for name, version in data.versions.items())
        yield f"<tr><th scope=row>versions<td>{text(versions)}"
    yield "</tbody></table></div>"


def _tiles(data: ReportData) -> Iterator[tuple[str, str]]:
    for pooled in data.cross_validation:
        name = f"cross-validated, {pooled.head}" if len(data.cross_validation) > 1 else "cross-validated"
        error = f"± {100 * pooled.standard_error:.1f}"
        yield text(name), f"{percent(pooled.accuracy, 1)} <small>{error}, {len(pooled.right)} images</small>"
    if data.validation is not None:
        low, high = data.validation.interval
        shown = f"<small>{percent(low)} to {percent(high)}</small>"
        yield "on validation images", f"{percent(data.validation.accuracy, 1)} {shown}"
    yield "mistakes", f"{len(data.test.mistakes)} <small>of {data.test.images}</small>"
    scores = [figures.f1 for figures in data.test.per_class if figures.f1 is not None]
    yield "mean F1 of the classes", percent(sum(scores) / len(scores), 1)
    yield "calibration error", percent(reliabilities(data)[-1].error, 1)
    yield "cross entropy", f"{data.test.cross_entropy:.3f} <small>nats</small>"


def _number(number: int) -> str:
    return f"<td data-v={number}>{number}"


def _weakest(report: Report) -> str:
    def score(figures: ClassFigures) -> float:
        return 2.0 if figures.f1 is None else figures.f1

    weak = [figures for figures in sorted(report.per_class, key=score) if score(figures) < 1][:3]
    if not weak:
        return "<p class=note>Every class is named right throughout.</p>"
    names = ", ".join(f"{text(figures.label)} ({percent(figures.f1)})" for figures in weak)
    return f"<p class=note>Weakest by F1: {names}.</p>"


def _evenness(dataset: DataSet) -> str:
    train = {label: of[TRAIN] for label, of in dataset.counts().items()}
    most, least = max(train, key=lambda label: train[label]), min(train, key=lambda label: train[label])
    if train[most] == train[least]:
        return f"Every class has {count(train[most], 'training image')}."
    return f"{text(most)} has most training images ({train[most]}), {text(least)} fewest ({train[least]})."


def _sizes(dataset: DataSet) -> str:
    """The range of the images' sizes in pixels, by their headers."""
    step = max(1, len(dataset.images) // _MOST_SIZES)
    sizes = []
    for item in dataset.images[::step]:
        try:
            header = read_header_of_file(item.path)
        except ImageError:
            continue
        sizes.append((header.width * header.height, f"{header.width}×{header.height}", header.format))
    if not sizes:
        return ""
    small, large = min(sizes)[1], max(sizes)[1]
    formats = ", ".join(name for name, _ in Counter(size[2] for size in sizes).most_common())
    middle = median(size[0] for size in sizes) / 1e6
    span = (
        f"{small} pixels"
        if small == large
        else f"{small} to {large} pixels, {middle:.2f} megapixels at the median"
    )
    return f"{formats}, {span}."


def _skipped(dataset: DataSet) -> Iterator[str]:
    if not dataset.rejected:
        return
    yield f"<details><summary>{count(len(dataset.rejected), 'file')} skipped</summary><ul>"
    for failure in dataset.rejected[:_MOST_SKIPPED]:
        yield f"<li>{text(failure.path.removeprefix(dataset.root).lstrip('/'))}: {text(failure.reason)}"
    if len(dataset.rejected) > _MOST_SKIPPED:
        yield f"<li>and {len(dataset.rejected) - _MOST_SKIPPED} more"
    yield "</ul></details>"
