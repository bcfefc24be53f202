"""TensorFlow GraphDefs made plain: reduced to what the output needs, renamed, without default attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from legoclf.errors import LegoclfError

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

SCOPE = "feature_vector"
_COUNTERS = re.compile(r"(_\d+)+(?=/|$)")
_CALLS = re.compile(r"(^|(?<=/))(Stateful)?PartitionedCall/")
_CAPTURED = re.compile(r"(^|(?<=/))\d+(?=/|$)")


def tidy(graph_def: GraphDef, ends: Mapping[str, str]) -> GraphDef:
    """The nodes that a frozen function's output needs, each after its inputs, under plain names.

    Identity nodes are bypassed. Control inputs go: in a graph without variables nothing is left that they
    could order. All but the ends stand under ``feature_vector/``. Names lose the counters that Keras and
    TensorFlow keep per process, so that equal functions give equal graphs. A tidy graph that is wrapped and
    tidied again keeps its names.

    Args:
        graph_def: of a function with one input and one float32 output, the latter an Identity.
        ends: the names of its input node and of its output node, in this order, with their new names.

    Raises:
        LegoclfError: the output does not depend on the input, or depends on itself (a loop of TensorFlow 1).
    """
    (source, source_name), (output, output_name) = ends.items()
    by_name = {node.name: node for node in graph_def.node}

    def through(reference: str) -> str:
        while by_name[_node_name(reference)].op == "Identity":
            reference = by_name[_node_name(reference)].input[0]
        return reference

    def data_inputs(node: NodeDef) -> list[str]:
        return [through(name) for name in node.input if not name.startswith("^")]

    last = through(output)
    order = _needed(
        by_name[_node_name(last)], lambda node: [by_name[_node_name(used)] for used in data_inputs(node)]
    )
    if source not in {node.name for node in order}:
        raise LegoclfError("the module's output does not depend on its input image")
    names = {source: source_name, **_clean_names([node.name for node in order if node.name != source])}
    result = type(graph_def)(versions=graph_def.versions)
    if graph_def.library.function:
        result.library.CopyFrom(graph_def.library)
    for node in order:
        copy = result.node.add(name=names[node.name], op=node.op)
        copy.input.extend(_renamed(reference, names) for reference in data_inputs(node))
        for key in sorted(node.attr):
            if not key.startswith("_"):
                copy.attr[key].CopyFrom(node.attr[key])
    end = result.node.add(name=output_name, op="Identity", input=[_renamed(last, names)])
    end.attr["T"].CopyFrom(by_name[output].attr["T"])
    strip_defaults(result)
    return result


def strip_defaults(graph_def: GraphDef) -> None:
    """Take the attributes at their default value out of a graph, in place.

    TensorFlow 1.15 refuses a graph with attributes it does not know (``explicit_paddings``), even where they
    change nothing. ``tf.import_graph_def`` puts them back, also in place: give it a :func:`duplicate`.
    """
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
    from tensorflow.python.framework.meta_graph import strip_graph_default_valued_attrs

    meta_graph = MetaGraphDef(graph_def=graph_def)
    strip_graph_default_valued_attrs(meta_graph)
    graph_def.CopyFrom(meta_graph.graph_def)


def duplicate(graph_def: GraphDef) -> GraphDef:
    """A copy of a graph, for the callers of TensorFlow that change what they are given."""
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    return copy


def _node_name(reference: str) -> str:
    """The node that an input of a NodeDef names: 'a', '^a' and 'a:1' are all of node 'a'."""
    return reference.lstrip("^").partition(":")[0]


def _renamed(reference: str, names: dict[str, str]) -> str:
    node, colon, port = reference.partition(":")
    return names[node] + colon + port


def _needed(end: NodeDef, inputs_of: Callable[[NodeDef], list[NodeDef]]) -> list[NodeDef]:
    """``end`` and all it depends on, each after its inputs (depth first; a loop, as graphs are deep)."""
    order: dict[str, NodeDef] = {}
    begun: set[str] = set()
    stack = [(end, False)]
    while stack:
        node, inputs_done = stack.pop()
        if node.name in order:
            continue
        if inputs_done:
            order[node.name] = node
            continue
        if node.name in begun:
            raise LegoclfError(f"the graph has a loop ('{node.name}'): an engine takes plain graphs")
        begun.add(node.name)
        stack.append((node, True))
        stack.extend((each, False) for each in reversed(inputs_of(node)))
    return list(order.values())


def _clean_names(names: list[str]) -> dict[str, str]:
    """New names by old: under one scope, without per-process counters; equal ones numbered in order."""
    clean: dict[str, str] = {}
    taken: set[str] = set()
    for old in names:
        plain = _CAPTURED.sub("captured", _CALLS.sub("", _COUNTERS.sub("", old)))
        base = name = f"{SCOPE}/" + plain.removesuffix("/resource").removeprefix(f"{SCOPE}/")
        number = 0
        while name.lower() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.lower())
        clean[old] = name
    return clean
