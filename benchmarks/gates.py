"""The regression gate of CI: bounds on ratios within one run, never on times.

Two kinds of bounds, one rule: a gate fails only where the whole 95 % interval lies on the wrong side of its
bound. What noise alone can do passes; what cannot be judged, for too few turns or because the ratio has gone,
fails, for a gate that is silent guards nothing.

A file of gates is one JSON object: for each kind of benchmark an object from the name of a ratio to its
bound. The bound is the least that a ratio may be whose better is higher, and the most of one whose better is
lower:

    {"inference": {"name of a ratio": 0.9}, "live": {}}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legoclf.benchmarks.compare import ratio_turns
from legoclf.benchmarks.device.emit import factor, interval
from legoclf.benchmarks.device.result import Result
from legoclf.benchmarks.device.samples import Estimate
from legoclf.benchmarks.two_samples import ratio_of_shift
from legoclf.errors import LegoclfError, UsageError


@dataclass(frozen=True)
class Gate:
    """One bound and how it was met; ``estimate`` is None where the ratio is missing or is of zeros."""

    name: str
    better: str
    bound: float
    estimate: Estimate | None

    @property
    def trouble(self) -> str:
        """Why it fails, "" if it holds."""
        if self.estimate is None:
            return "not in the result, or of zeros"
        if self.estimate.low is None or self.estimate.high is None:
            return "too few turns to judge"
        if self.better == "higher" and self.estimate.high < self.bound:
            return f"below {factor(self.bound)}"
        if self.better == "lower" and self.estimate.low > self.bound:
            return f"above {factor(self.bound)}"
        return ""

    def as_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        estimate = None if self.estimate is None else self.estimate._asdict()
        return {**vars(self), "estimate": estimate, "trouble": self.trouble}

    def __str__(self) -> str:
        told = f"FAILED: {self.trouble}" if self.trouble else "holds"
        limit = "at least" if self.better == "higher" else "at most"
        if self.estimate is None:
            return f"gate: {self.name}: {limit} {factor(self.bound)}: {told}"
        found = f"{factor(self.estimate.value)} ({interval(self.estimate, factor)})"
        return f"gate: {self.name}: {found}, {limit} {factor(self.bound)}: {told}"


def read_gates(path: Path) -> dict[str, dict[str, float]]:
    """The bounds of a file, by kind of benchmark and name of the ratio.

    Raises:
        UsageError: it is no file of gates.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--gates: {path}: not a file of gates: {error}") from error
    if not isinstance(record, dict) or not all(isinstance(each, dict) for each in record.values()):
        raise UsageError(f"--gates: {path}: expected {{kind: {{name of a ratio: bound}}}}")
    for kind, bounds in record.items():
        for name, bound in bounds.items():
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 < bound < float("inf"):
                raise UsageError(f"--gates: {path}: {kind}, '{name}': got {bound!r}, expected more than 0")
    return record


def of_one_run(result: Result, gates: Mapping[str, Mapping[str, float]]) -> list[Gate]:
    """The gates of its kind, put to a result.

    Raises:
        UsageError: none is written for that kind, not even an empty object.
    """
    if result.kind not in gates:
        raise UsageError(f"--gates: none for '{result.kind}'; there are: {', '.join(gates)}")
    ratios = {ratio.name: ratio for ratio in result.ratios}
    met = []
    for name, bound in gates[result.kind].items():
        ratio = ratios.get(name)
        estimate = None if ratio is None else result.ratio(ratio)
        met.append(Gate(name, "higher" if ratio is None else ratio.better, bound, estimate))
    return met


def against_earlier(old: Result, new: Result, least: float) -> list[Gate]:
    """Every ratio that both have: in the direction of its better, B must keep ``least`` of A.

    Raises:
        LegoclfError: they have no ratio in common.
    """
    before = {ratio.name: ratio for ratio in old.ratios}
    gates = []
    for ratio in new.ratios:
        if before.get(ratio.name) == ratio:
            shift = ratio_of_shift(ratio_turns(ratio, old), ratio_turns(ratio, new))
            bound = least if ratio.better == "higher" else 1 / least
            gates.append(Gate(f"{ratio.name}, B / A", ratio.better, bound, shift))
    if not gates:
        raise LegoclfError(
            "--fail_below: the two results have no ratio in common; absolute times gate nothing"
        )
    return gates
