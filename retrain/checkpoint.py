"""The trained head as a TensorFlow checkpoint, where scripts around retrain.py look for it."""

from pathlib import Path

from legoclf.convert.frozen import import_tensorflow
from legoclf.retrain.heads import Head

#: The variables of retrain.py's final layer.
WEIGHTS = "final_retrain_ops/weights/final_weights"
BIASES = "final_retrain_ops/biases/final_biases"


def write_checkpoint(prefix: Path, head: Head) -> None:
    """Write ``prefix.index`` and ``prefix.data-00000-of-00001``; ``tf.train.load_checkpoint`` reads them.

    Weights are float32 [D, C], biases float32 [C].
    """
    tf = import_tensorflow()
    prefix.parent.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=[WEIGHTS, BIASES],
        shape_and_slices=["", ""],
        tensors=[tf.constant(head.weights), tf.constant(head.bias)],
    )
