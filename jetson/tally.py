"""How many of each: the sorting table's result."""

from typing import Any, Dict, List, Sequence, Tuple

from legoclf.jetson.result import UNKNOWN
from legoclf.jetson.tracking import Track


class Tally:
    """Counts of each label, and of `unknown`."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.counts: Dict[str, int] = dict.fromkeys([*labels, UNKNOWN], 0)

    @property
    def total(self) -> int:
        """All that was counted."""
        return sum(self.counts.values())

    def add(self, tracks: Sequence[Track]) -> None:
        """Count what a frame counted first; to be given every frame's tracks."""
        for track in tracks:
            if track.newly_counted:
                self.counts[track.label] += 1

    def rows(self) -> List[Tuple[str, int]]:
        """Label and count, in the bundle's order, `unknown` last: rows for CSV."""
        return list(self.counts.items())

    def to_json(self) -> Dict[str, Any]:
        """``{"total": ..., "counts": {label: count}}``."""
        return {"total": self.total, "counts": dict(self.counts)}

    def text(self) -> str:
        """One line: the total, then what there was, the commonest first."""
        found = sorted((row for row in self.rows() if row[1]), key=lambda row: -row[1])
        parts = ", ".join("{} {}".format(count, label) for label, count in found)
        return "{} counted: {}".format(self.total, parts) if found else "0 counted"
