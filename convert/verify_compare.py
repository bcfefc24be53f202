"""Several graphs on the same tensors, and how far each lies from the reference."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import NamedTuple

import numpy as np

from legoclf.bundle import ONNX_MODEL, Bundle
from legoclf.convert.verify_paths import Answer, GraphPath, NotHereError, Runner
from legoclf.errors import LegoclfError
from legoclf.progress import Progress

#: Tensors held and run at a time.
BATCH_SIZE = 16

#: Images kept of each graph to explain a difference with: those that differ most.
WORST_IMAGES = 4

#: A tensor float32 [3, H, W] and the index of its class, None where that is not known.
Example = tuple[np.ndarray, int | None]


@dataclass
class Comparison:
    """One graph against the reference on a set of images.

    changed: images with another top-1; one with a value that is not finite counts as changed.
    probability: largest difference of one probability; infinite where a value is not finite.
    logit: the same of the logits, in their unit; None where the graph does not give them.
    known: images with a known class; right: those of them named right, reference_right: by the reference.
    worst: (difference, number, tensor) of the images that differ most, the worst first.
    """

    path: GraphPath
    images: int = 0
    changed: int = 0
    probability: float = 0.0
    logit: float | None = None
    known: int = 0
    right: int = 0
    reference_right: int = 0
    worst: list[tuple[float, int, np.ndarray]] = field(default_factory=list)

    @property
    def accuracy(self) -> float | None:
        """Share of the images with a known class that were named right; None if there is none."""
        return self.right / self.known if self.known else None

    def add(self, batch: list[Example], answer: Answer, expected: Answer) -> None:
        """Count one batch: what this graph, and what the reference said of it."""
        broken = ~np.isfinite(answer.probabilities).all(axis=1)
        difference = np.where(broken, inf, _largest(answer.probabilities, expected.probabilities))
        top, expected_top = answer.probabilities.argmax(axis=1), expected.probabilities.argmax(axis=1)
        self.changed += int(((top != expected_top) | broken).sum())
        self.probability = max(self.probability, float(difference.max()))
        if answer.logits is not None and expected.logits is not None:
            logit = _largest(answer.logits, expected.logits).max()
            self.logit = max(self.logit or 0.0, float(logit) if np.isfinite(logit) else inf)
        for index, (_, truth) in enumerate(batch):
            if truth is not None:
                self.known += 1
                self.right += int(top[index] == truth and not broken[index])
                self.reference_right += int(expected_top[index] == truth)
        numbered = [(float(d), -self.images - i, batch[i][0]) for i, d in enumerate(difference)]
        # Numbers differ, so that a tie never compares tensors.
        self.worst = heapq.nlargest(WORST_IMAGES, [*self.worst, *numbered], key=lambda one: one[:2])
        self.images += len(batch)


class Examples(NamedTuple):
    """A set of images, one at a time so that any number fits in memory, and how many there are."""

    examples: Iterable[Example]
    total: int


class Compared(NamedTuple):
    """Of each set of images the reference, then each graph; and why the others cannot run here."""

    sets: dict[str, list[Comparison]]
    skipped: dict[str, str]


def compare(bundle: Bundle, paths: list[GraphPath], sets: Mapping[str, Examples]) -> Compared:
    """Run every graph on the same images.

    Args:
        bundle: the bundle they are of.
        paths: as :func:`legoclf.convert.verify_paths.bundle_paths` gives them, the reference first.
        sets: by name.

    Raises:
        LegoclfError: a graph cannot be loaded, or gives another number of classes than there are labels.
    """
    running: list[tuple[GraphPath, Runner]] = []
    skipped: dict[str, str] = {}
    compared: dict[str, list[Comparison]] = {}
    with ExitStack() as stack:
        for path in paths:
            try:
                running.append((path, stack.enter_context(path.open())))
            except NotHereError as reason:
                skipped[path.name] = str(reason)
        for name, (examples, total) in sets.items():
            compared[name] = [Comparison(path) for path, _ in running]
            with Progress(f"verify, {name}", total) as progress:
                for batch in _batches(examples):
                    answers = [run(np.stack([tensor for tensor, _ in batch])) for _, run in running]
                    for comparison, answer in zip(compared[name], answers, strict=True):
                        _check_classes(bundle, comparison.path, answer)
                        comparison.add(batch, answer, answers[0])
                    progress.advance(len(batch))
    return Compared(compared, skipped)


def _largest(answer: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Of each row, the largest difference: [N, C] and [N, C] to [N]."""
    with np.errstate(invalid="ignore", over="ignore"):
        largest: np.ndarray = np.abs(answer.astype(np.float64) - expected).max(axis=1)
    return largest


def _check_classes(bundle: Bundle, path: GraphPath, answer: Answer) -> None:
    found = answer.probabilities.shape[1]
    if found == len(bundle.labels):
        return
    if path.file == ONNX_MODEL:
        mend = "labels and graphs are not of one training: take labels.txt and model.json from the same one"
    else:
        mend = "it was made from another training: make it again with `legoclf convert`"
    raise LegoclfError(
        f"{bundle.path}: {path.file} gives {found} probabilities, "
        f"but there are {len(bundle.labels)} labels; {mend}"
    )


def _batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    iterator = iter(examples)
    while batch := list(islice(iterator, BATCH_SIZE)):
        yield batch
