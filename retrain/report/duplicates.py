"""Near-duplicates across the split, side by side, and the accuracy without them."""

from collections.abc import Iterator

from legoclf.retrain.evaluate import Report
from legoclf.retrain.near_duplicates import NearDuplicate, NearDuplicates
from legoclf.retrain.report.markup import Pictures, count, percent, text
from legoclf.split import TEST, TRAIN

#: Pairs shown at most.
MAX_SHOWN = 16


def duplicates(found: NearDuplicates, report: Report, pictures: Pictures) -> Iterator[str]:
    """How many there are, what they do to the accuracy, and the likest."""
    if not found.pairs:
        yield f"<p>None among {count(found.images, 'image')}: no image has its like in another set.</p>"
        return
    held_out = count(found.held_out, "held-out image")
    yield f"<p>Of {count(found.images, 'image')}, {held_out} have their like in another set: "
    yield f"{count(len(found.pairs), 'pair')}. {_without(found, report)}</p>"
    yield "<p class=note>Photos of one series can be kept together by names that are equal up to "
    yield "<code>_nohash_</code>.</p><div class=pairs>"
    for pair in found.pairs[:MAX_SHOWN]:
        words = "the same file" if pair.is_copy else f"alike to {percent(pair.likeness, 1)}"
        yield f"<div class=pair><h3>{words}</h3><div>"
        for item in (pair.one, pair.other):
            yield f"<figure>{pictures.tag(item.relative, item.relative)}<figcaption>{item.split}"
            yield f"<div class=path>{text(item.relative)}</div></figcaption></figure>"
        yield "</div></div>"
    yield "</div>"
    if len(found.pairs) > MAX_SHOWN:
        yield f"<p class=note>The likest {MAX_SHOWN} of {len(found.pairs)}.</p>"


def _without(found: NearDuplicates, report: Report) -> str:
    """The accuracy on test images that have no like among the training images."""
    known = {path for pair in found.pairs for path in _learnt(pair)}
    predicted = report.logits.argmax(axis=1)
    right = [
        bool(predicted[i] == report.truth[i]) for i, path in enumerate(report.paths) if path not in known
    ]
    if not right or len(right) == report.images:
        return ""
    return (
        "Without those test images that have their like in training, "
        f"{percent(sum(right) / len(right), 1)} of {len(right)} are named right, "
        f"against {percent(report.accuracy, 1)} of all."
    )


def _learnt(pair: NearDuplicate) -> Iterator[str]:
    """The test image of a pair whose other is a training image."""
    for item, other in ((pair.one, pair.other), (pair.other, pair.one)):
        if item.split == TEST and other.split == TRAIN:
            yield item.relative
