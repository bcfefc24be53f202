"""The frozen graph in TensorBoard."""

from typing import Any

import numpy as np
import pytest
import tf_modules

from legoclf.convert import frozen
from legoclf.retrain.seen.graph import MOST_BYTES, without_weights


@pytest.fixture(scope="module")
def classifier() -> Any:
    """A frozen classifier of the mean colour, with some kB of weights."""
    import tensorflow as tf

    weights = tf.constant(np.random.default_rng(0).normal(0, 1, (3, 600)), tf.float32)
    graph = frozen.freeze(lambda image: tf.matmul(tf.reduce_mean(image, [1, 2]), weights), 32, 32)
    return frozen.attach_head(graph, *tf_modules.head(600, 5))


def constants(graph_def: Any) -> dict[str, Any]:
    return {node.name: node.attr["value"].tensor for node in graph_def.node if node.op == "Const"}


def test_every_node_stays_with_its_inputs(classifier: Any) -> None:
    shown = without_weights(classifier)
    assert [(node.name, node.op, list(node.input)) for node in shown.node] == [
        (node.name, node.op, list(node.input)) for node in classifier.node
    ]


def test_weights_keep_their_type_and_shape_but_no_values(classifier: Any) -> None:
    shown = constants(without_weights(classifier))["head/weights"]
    whole = constants(classifier)["head/weights"]
    assert (shown.dtype, shown.tensor_shape) == (whole.dtype, whole.tensor_shape)
    assert shown.ByteSize() < 20 < MOST_BYTES < whole.ByteSize()


def test_small_constants_keep_their_values(classifier: Any) -> None:
    assert constants(without_weights(classifier))["head/bias"] == constants(classifier)["head/bias"]


def test_the_graph_that_was_given_stays_whole(classifier: Any) -> None:
    before = frozen.serialize(classifier)
    without_weights(classifier)
    assert frozen.serialize(classifier) == before


def test_constants_within_functions_lose_their_values_too(classifier: Any) -> None:
    whole = type(classifier)()
    whole.library.function.add().node_def.extend(node for node in classifier.node if node.op == "Const")
    assert without_weights(whole).ByteSize() < MOST_BYTES < whole.ByteSize()
