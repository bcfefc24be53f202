"""What is seen of a training as it runs: its curve, TensorBoard logs, and a warning when it overfits."""

import logging

from legoclf.retrain.fit_watch import FitWatch, Verdict
from legoclf.retrain.heads import Evaluation
from legoclf.retrain.report import Curve
from legoclf.retrain.seen import Summaries

LOGGER = logging.getLogger(__name__)


class SeenTraining:
    """Takes the evaluations of one phase of a training.

    Args:
        phase: what learns, for people.
        unit: what a step of it is.
        summaries: TensorBoard logs; None for none.
    """

    def __init__(self, phase: str, unit: str, summaries: Summaries | None = None) -> None:
        self.curve = Curve(phase, unit, [])
        self.summaries = summaries
        self._watch = FitWatch(unit=unit)

    def add(self, evaluation: Evaluation) -> None:
        """Another evaluation: a point of the curve, a point of the logs, a warning if it is time for one."""
        self.curve.points.append(evaluation)
        if self.summaries is not None:
            self.summaries.add(evaluation)
        warning = self._watch.add(evaluation)
        if warning is not None:
            LOGGER.warning("warning: %s", warning)

    def verdict(self) -> Verdict:
        """What can be said of the whole, once it has ended."""
        return self._watch.verdict()


def note_of(evaluation: Evaluation) -> str:
    """How a training stands, beside its progress bar."""
    return f"loss {evaluation.train_cross_entropy:.3f}, accuracy {evaluation.train_accuracy:.1%}"
