"""A data set in memory: labels, images with their split, what was left out, and what to know about it."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from legoclf.data.images import Rejected, content_digests
from legoclf.data.layout import some
from legoclf.errors import ImageError, LegoclfError
from legoclf.split import SPLITS, TEST, TRAIN, VALIDATION


@dataclass(frozen=True)
class ImageItem:
    """One image: the file, its path relative to the data set (with ``/``, in NFC), its class and its set."""

    path: str
    relative: str
    label_index: int
    split: str


@dataclass(frozen=True)
class DataSet:
    """Images of several classes, sorted by relative path; ``label_index`` points into the sorted labels."""

    root: str
    labels: list[str]
    images: list[ImageItem]
    warnings: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def by_split(self, name: str) -> list[ImageItem]:
        """The images of one set: ``train``, ``validation`` or ``test``."""
        return [image for image in self.images if image.split == name]

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by label and set: ``{label: {"train": n, "validation": n, "test": n}}``."""
        counted = Counter((image.label_index, image.split) for image in self.images)
        return {
            label: {split: counted[index, split] for split in SPLITS}
            for index, label in enumerate(self.labels)
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every image's relative path and content, hexadecimal; reads every file once.

        The same for the same images wherever the data set lies, and whatever its split.
        """
        return _fingerprint(self.images, content_digests([image.path for image in self.images]))

    def know_contents(self, digests: Iterable[str]) -> None:
        """Make the fingerprint of contents that are known, so that no file is read for it.

        Args:
            digests: SHA-256 of each image, hexadecimal, in the order of the images.
        """
        # No field: what is made of this data set by replace() may have other images.
        self.__dict__["fingerprint"] = _fingerprint(self.images, digests)

    def without(self, failures: Iterable[Rejected | ImageError]) -> "DataSet":
        """The same data set without the images of these paths; no other image changes its set.

        Raises:
            LegoclfError: a class has no training image left.
        """
        more = [Rejected(failure.path, failure.reason) for failure in failures]
        bad = {failure.path for failure in more}
        left = replace(self, images=[image for image in self.images if image.path not in bad])
        before, after = self.counts(), left.counts()
        warnings = list(self.warnings)
        for split in SPLITS:
            lost = [label for label in self.labels if before[label][split] and not after[label][split]]
            if lost and split == TRAIN:
                why = some((f"{path}: {reason}" for path, reason in more), 3)
                raise LegoclfError(
                    f"no training image of {some(map(repr, lost))} can be read ({why}): "
                    "replace them, or move the folder away"
                )
            if lost:
                warnings.append(f"no {split} image of {some(map(repr, lost))} can be read: add images")
        return replace(left, warnings=warnings, rejected=sorted(self.rejected + more))

    def summary(self) -> str:
        """Classes, images in each set, and how many were skipped for which reason, in a line or two."""
        sizes = Counter(image.split for image in self.images)
        text = (
            f"{len(self.labels)} classes, {len(self.images)} images: {sizes[TRAIN]} train, "
            f"{sizes[VALIDATION]} validation, {sizes[TEST]} test"
        )
        if self.rejected:
            kinds = Counter(failure.reason.partition(":")[0] for failure in self.rejected)
            reasons = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            text += f"\n{len(self.rejected)} skipped: {reasons}"
        return text


def _fingerprint(images: Iterable[ImageItem], digests: Iterable[str]) -> str:
    lines = sorted(
        image.relative.encode("utf-8", "surrogateescape") + b"\0" + digest.encode("ascii") + b"\n"
        for image, digest in zip(images, digests, strict=True)
    )
    return hashlib.sha256(b"".join(lines)).hexdigest()


def refuse_rejected(rejected: list[Rejected]) -> None:
    """Raise LegoclfError if there are any: what `--strict` asks for."""
    if rejected:
        few = "; ".join(f"{path}: {reason}" for path, reason in rejected[:5])
        more = f"; and {len(rejected) - 5} more" if len(rejected) > 5 else ""
        raise LegoclfError(
            f"{len(rejected)} image(s) cannot be used ({few}{more}): "
            "remove or replace them, or leave out --strict to skip them"
        )
