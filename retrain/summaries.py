"""TensorBoard logs of the head's training, in train/ and validation/ as retrain.py wrote them."""

from pathlib import Path
from typing import Any

from legoclf.convert.frozen import import_tensorflow
from legoclf.retrain.heads import Evaluation


class Summaries:
    """Writes accuracy and cross entropy by step; a context manager. What lies in the folder stays."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> "Summaries":
        tf = import_tensorflow()

        for name in ("train", "validation"):
            self._writers[name] = tf.summary.create_file_writer(str(self.directory / name))
        return self

    def add(self, evaluation: Evaluation) -> None:
        """One evaluation as points at its step."""
        self._point("train", evaluation.step, evaluation.train_accuracy, evaluation.train_cross_entropy)
        if evaluation.validation_accuracy is not None:
            self._point(
                "validation",
                evaluation.step,
                evaluation.validation_accuracy,
                evaluation.validation_cross_entropy,
            )

    def _point(self, name: str, step: int, accuracy: float, cross_entropy: float | None) -> None:
        tf = import_tensorflow()

        with self._writers[name].as_default(step=step):
            for tag, value in (("accuracy_1", accuracy), ("cross_entropy_1", cross_entropy)):
                tf.summary.write(tag, tf.constant(value, tf.float32), metadata=_scalar_metadata())

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for writer in self._writers.values():
            writer.close()


def _scalar_metadata() -> Any:
    """What marks a value as a scalar. tf.summary.scalar would need the tensorboard package for it."""
    from tensorflow.core.framework.summary_pb2 import DATA_CLASS_SCALAR, SummaryMetadata

    return SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"), data_class=DATA_CLASS_SCALAR
    )
