"""Which precision is fastest on this device, measured: others' tables say little (FP16 may gain nothing)."""

import math
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from legoclf.convert.engine.golden import Verification
from legoclf.jetson.engine_store import StoredEngine

#: Runs before the clock counts: the GPU's own clock rises under load, within about half a second.
WARM_UP_RUNS = 10
WARM_UP_S = 0.5

#: Runs that count. Enough that the 99th percentile is a run's time and not an extrapolation.
TIMED_RUNS = 100


class Timing(NamedTuple):
    """One engine's pace, by CUDA events: copy to the device, compute, copy back, one batch at a time.

    compute_ms: the median of the computing alone.
    """

    batch: int
    runs: int
    median_ms: float
    p99_ms: float
    compute_ms: float
    throughput_img_s: float


class Trial(NamedTuple):
    """One precision that was tried.

    engine: the engine, or None where none could be built.
    reused: it stood in the bundle already.
    note: why there is none, or why it was not verified.
    """

    precision: str
    engine: Optional[StoredEngine] = None
    timing: Optional[Timing] = None
    verification: Optional[Verification] = None
    reused: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """``passed``, ``FAILED``, ``not verified`` or ``none``."""
        if self.engine is None:
            return "none"
        if self.verification is None:
            return "not verified"
        return "passed" if self.verification.passed else "FAILED"


def measure(session: Any, batch: np.ndarray, runs: int = TIMED_RUNS, warm_up_s: float = WARM_UP_S) -> Timing:
    """Time an engine.

    Args:
        session: an open TensorRTSession.
        batch: float32 [N, 3, H, W].
        runs: how many runs count.
        warm_up_s: for how long, and for at least ten runs, they do not count yet.
    """
    begun = time.monotonic()
    warm = 0
    while warm < WARM_UP_RUNS or time.monotonic() - begun < warm_up_s:
        session.run_timed(batch)
        warm += 1
    steps = [session.run_timed(batch)[1] for _ in range(runs)]
    totals = sorted(step.h2d_ms + step.compute_ms + step.d2h_ms for step in steps)
    median = float(np.median(totals))
    return Timing(
        batch=len(batch),
        runs=runs,
        median_ms=median,
        p99_ms=totals[math.ceil(0.99 * runs) - 1],
        compute_ms=float(np.median([step.compute_ms for step in steps])),
        throughput_img_s=len(batch) * 1000.0 / median,
    )


def fastest(trials: Sequence[Trial]) -> Optional[Trial]:
    """The trial with the shortest median among those that passed; of equals the first. None: none passed."""
    passed = [
        trial
        for trial in trials
        if trial.timing is not None and trial.verification is not None and trial.verification.passed
    ]
    return min(passed, key=_median_ms) if passed else None


def _median_ms(trial: Trial) -> float:
    return trial.timing.median_ms if trial.timing is not None else math.inf


def table(trials: Sequence[Trial], chosen: Optional[Trial]) -> str:
    """The trials as text, one a line."""
    lines = ["precision  median ms   p99 ms     img/s  probability  verdict"]
    for trial in trials:
        timing, verification = trial.timing, trial.verification
        lines.append(
            "{:<9}  {:>9}  {:>7}  {:>8}  {:>11}  {}".format(
                trial.precision,
                _number(timing and timing.median_ms, "{:.3f}"),
                _number(timing and timing.p99_ms, "{:.3f}"),
                _number(timing and timing.throughput_img_s, "{:.1f}"),
                _number(verification and verification.probability_difference, "{:.2g}"),
                _verdict(trial, trial is chosen),
            )
        )
    return "\n".join(lines) + "\n"


def _verdict(trial: Trial, is_chosen: bool) -> str:
    words = [trial.verdict]
    if trial.note:
        words.append("(see above)")
    if is_chosen:
        words.append("<- chosen")
    return " ".join(words)


def _number(value: Optional[float], form: str) -> str:
    return "-" if value is None else form.format(value)


def as_json(trial: Trial, chosen: Optional[Trial]) -> Dict[str, Any]:
    """The trial for `--json`."""
    engine = trial.engine
    return {
        "precision": trial.precision,
        "key": None if engine is None else engine.key,
        "path": None if engine is None else engine.path,
        "timing": None if trial.timing is None else dict(trial.timing._asdict()),
        "verification": None if trial.verification is None else dict(trial.verification._asdict()),
        "verdict": trial.verdict,
        "reused": trial.reused,
        "chosen": trial is chosen,
        "note": trial.note,
        "notes": notes_of(trial),
    }


def notes_of(trial: Trial) -> List[str]:
    """What TensorRT and the builder had to say of its engine."""
    notes = trial.engine.record.get("notes") if trial.engine is not None else None
    return [str(note) for note in notes] if isinstance(notes, list) else []
