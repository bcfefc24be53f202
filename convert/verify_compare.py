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
from legoclf.convert.novelty import NOVELTY_NAME
from legoclf.convert.verify_paths import Answer, GraphPath, NotHereError, Runner
from legoclf.errors import LegoclfError
from legoclf.golden import novelty_difference
from legoclf.novelty import NoveltyRule, judge
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

    rule: the bundle's, by which an image may be unknown.
    changed: images with another top-1, or unknown to one of the two alone; one with a value that is not
        finite counts as changed.
    probability: largest difference of one probability; infinite where a value is not finite.
    logit: the same of the logits, in their unit; None where the graph does not give them.
    novelty: the same of the novelty, as a share of one beyond 1; None where one of the two does not give it.
        Unknown is an image only where both do.
    known: images with a known class; right: those of them named right, reference_right: by the reference.
        One that is unknown is not named.
    worst: (difference, number, tensor) of the images that differ most, the worst first.
    """

    path: GraphPath
    rule: NoveltyRule | None = None
    images: int = 0
    changed: int = 0
    probability: float = 0.0
    logit: float | None = None
    novelty: float | None = None
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
        unknown, expected_unknown, is_number = self._judge(answer, expected)
        broken = ~(np.isfinite(answer.probabilities).all(axis=1) & is_number)
        difference = np.where(broken, inf, _largest(answer.probabilities, expected.probabilities))
        top, expected_top = answer.probabilities.argmax(axis=1), expected.probabilities.argmax(axis=1)
        self.changed += int(((top != expected_top) | (unknown != expected_unknown) | broken).sum())
        self.probability = max(self.probability, float(difference.max()))
        if answer.logits is not None and expected.logits is not None:
            self.logit = max(self.logit or 0.0, _finite(_largest(answer.logits, expected.logits)))
        for index, (_, truth) in enumerate(batch):
            if truth is not None:
                self.known += 1
                self.right += int(top[index] == truth and not broken[index] and not unknown[index])
                self.reference_right += int(expected_top[index] == truth and not expected_unknown[index])
        numbered = [(float(d), -self.images - i, batch[i][0]) for i, d in enumerate(difference)]
        # Numbers differ, so that a tie never compares tensors.
        self.worst = heapq.nlargest(WORST_IMAGES, [*self.worst, *numbered], key=lambda one: one[:2])
        self.images += len(batch)

    def _judge(self, answer: Answer, expected: Answer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which images are unknown to this graph, which to the reference, and whose novelty is no failure.

        Returns:
            bool [N], three times.
        """
        none = np.zeros(len(answer.probabilities), bool)
        novelty, unknown = self._novelty(answer)
        wanted, expected_unknown = self._novelty(expected)
        if novelty is None or wanted is None:
            return none, none, ~none
        self.novelty = max(self.novelty or 0.0, novelty_difference(novelty, wanted))
        if unknown is None or expected_unknown is None:
            return none, none, np.isfinite(novelty)
        return unknown, expected_unknown, np.isfinite(novelty)

    def _novelty(self, answer: Answer) -> tuple[np.ndarray | None, np.ndarray | None]:
        if answer.novelty is None:
            return None, None
        try:
            return judge({"probabilities": answer.probabilities, NOVELTY_NAME: answer.novelty}, self.rule)
        except LegoclfError as error:
            raise LegoclfError(f"{self.path.file}: {error}") from error


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
            compared[name] = [Comparison(path, bundle.novelty) for path, _ in running]
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


def _finite(differences: np.ndarray) -> float:
    """The largest of [N]; infinite where one is no finite number."""
    largest = float(differences.max())
    return largest if np.isfinite(largest) else inf


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
