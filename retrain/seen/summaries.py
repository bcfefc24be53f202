"""TensorBoard logs of the head's training, in train/ and validation/ as retrain.py wrote them."""

from contextlib import ExitStack
from pathlib import Path

from legoclf.retrain.heads import Evaluation
from legoclf.retrain.seen.events import EventFile


class Summaries:
    """Writes accuracy and cross entropy by step, and the learning rate where it is told; a context manager.

    What lies in the folder stays.

    Raises:
        LegoclfError: the folder cannot be written; upon entering and by :meth:`add`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = ExitStack()

    def __enter__(self) -> "Summaries":
        with ExitStack() as stack:
            self._train = stack.enter_context(EventFile(self.directory / "train"))
            self._validation = stack.enter_context(EventFile(self.directory / "validation"))
            self._stack = stack.pop_all()
        return self

    def add(self, evaluation: Evaluation) -> None:
        """One evaluation as points at its step."""
        values = _values(evaluation.train_accuracy, evaluation.train_cross_entropy)
        if evaluation.learning_rate is not None:
            values["learning_rate"] = evaluation.learning_rate
        self._train.add_scalars(evaluation.step, values)
        if evaluation.validation_accuracy is not None:
            assert evaluation.validation_cross_entropy is not None
            values = _values(evaluation.validation_accuracy, evaluation.validation_cross_entropy)
            self._validation.add_scalars(evaluation.step, values)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stack.close()


def _values(accuracy: float, cross_entropy: float) -> dict[str, float]:
    """By the tags that TensorBoard showed for retrain.py."""
    return {"accuracy_1": accuracy, "cross_entropy_1": cross_entropy}
