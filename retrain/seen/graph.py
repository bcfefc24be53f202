"""The frozen graph as TensorBoard shows it: what follows what, without the weights."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from legoclf.convert.graph_def import duplicate

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef

#: Bytes of a constant that is kept with its values. TensorBoard itself shows no larger attribute.
MOST_BYTES = 1024


def without_weights(graph_def: GraphDef) -> GraphDef:
    """A copy of a graph whose larger constants have their type and shape, but no values."""
    small = duplicate(graph_def)
    functions = (function.node_def for function in small.library.function)
    for node in itertools.chain(small.node, *functions):
        if node.op != "Const" or node.attr["value"].ByteSize() <= MOST_BYTES:
            continue
        tensor = node.attr["value"].tensor
        tensor.CopyFrom(type(tensor)(dtype=tensor.dtype, tensor_shape=tensor.tensor_shape))
    return small
