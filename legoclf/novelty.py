"""Whether an image is like what was trained on: the rule for a graph's output ``novelty``.

A classifier names one of its labels whatever it is shown. A graph may say beside that how strange the image
is to it, and model.json from where on that is too strange (docs/bundle.md).
"""

import argparse
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from legoclf.errors import LegoclfError

if TYPE_CHECKING:
    import numpy as np

#: The graph output.
OUTPUT = "novelty"

_FIELDS = ("kind", "threshold", "false_reject_rate")

#: Novelty is float32: a larger threshold could not be exceeded.
_LARGEST = 3.4e38


class NoveltyRule(NamedTuple):
    """From where on an image is too strange to be named.

    kind: what the novelty is, such as "distance" or "energy".
    threshold: a novelty above it makes the answer ``unknown``, however probable the label.
    false_reject_rate: the share of images of the bundle's own labels that is expected to be refused with
        them, 0 to 1.
    """

    kind: str
    threshold: float
    false_reject_rate: float

    def to_json(self) -> Dict[str, Any]:
        """The record as ``model.json`` holds it."""
        return {
            "kind": self.kind,
            "threshold": float(self.threshold),
            "false_reject_rate": float(self.false_reject_rate),
        }

    @classmethod
    def from_json(cls, record: Any) -> "NoveltyRule":
        """Read the record of ``model.json``.

        Raises:
            ValueError: a field is missing, unknown, or outside its range; the message names it.
        """
        if not isinstance(record, dict) or set(record) != set(_FIELDS):
            raise ValueError("novelty: expected an object with the fields {}".format(", ".join(_FIELDS)))
        kind, threshold, rate = (record[name] for name in _FIELDS)
        if not isinstance(kind, str) or not kind:
            raise ValueError("novelty.kind: got {!r}, expected a name".format(kind))
        if not _is_number(threshold) or not abs(threshold) <= _LARGEST:
            raise ValueError("novelty.threshold: got {!r}, expected a finite number".format(threshold))
        if not _is_number(rate) or not 0 < rate < 1:
            raise ValueError(
                "novelty.false_reject_rate: got {!r}, expected a share between 0 and 1".format(rate)
            )
        return cls(kind, float(threshold), float(rate))

    def is_novel(self, novelty: "np.ndarray") -> "np.ndarray":
        """Which images are too strange; one whose novelty is no number is.

        Args:
            novelty: float32 [N].

        Returns:
            bool [N].
        """
        import numpy as np

        with np.errstate(invalid="ignore"):
            known: np.ndarray = novelty <= self.threshold
        return ~known


def add_novelty_flag(parser: argparse.ArgumentParser) -> None:
    """Define --no_novelty, for commands that then do without ``bundle.novelty``."""
    parser.add_argument(
        "--no_novelty",
        action="store_true",
        help="give a label also to what is too unlike the bundle's training images, which else is `unknown`",
    )


def wanted_outputs(outputs: Sequence[str]) -> List[str]:
    """Those of a graph's outputs that an answer is made of."""
    return ["probabilities", OUTPUT] if OUTPUT in outputs else ["probabilities"]


def missing_novelty(rule: Optional[NoveltyRule], outputs: Sequence[str]) -> str:
    """What to tell where there is a rule, and a graph that gives nothing to judge by it; else empty."""
    if rule is None or OUTPUT in outputs:
        return ""
    return "has no output '{}', so what is strange gets a label all the same; convert or retrain anew".format(
        OUTPUT
    )


def judge(
    found: "Dict[str, np.ndarray]", rule: Optional[NoveltyRule]
) -> "Tuple[Optional[np.ndarray], Optional[np.ndarray]]":
    """How strange images are by a graph's outputs for them, and which of them are too strange.

    Args:
        found: name to array; has ``probabilities``, [N, C].

    Returns:
        novelty: float32 [N]; None where the graph gives none.
        is_novel: bool [N]; None without a rule, or without novelty.

    Raises:
        LegoclfError: the novelty is not one number an image.
    """
    novelty = found.get(OUTPUT)
    if novelty is None:
        return None, None
    count = len(found["probabilities"])
    if novelty.shape not in ((count,), (count, 1)):
        raise LegoclfError(
            "the graph's output '{}' is {} for {} images, expected [{}]; make the graph again, with one "
            "number an image or without that output".format(OUTPUT, list(novelty.shape), count, count)
        )
    novelty = novelty.reshape(count)
    return novelty, None if rule is None else rule.is_novel(novelty)


def json_novelty(novelty: float) -> Optional[float]:
    """A novelty as JSON has it, to six digits; None where it is no finite number."""
    return float("{:.6g}".format(novelty)) if abs(novelty) < float("inf") else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
