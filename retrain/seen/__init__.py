"""TensorBoard logs of a training: curves, the machine's load, the graph, what became of the test images."""

from legoclf.retrain.seen.machine import MachineSampler
from legoclf.retrain.seen.results import write_results
from legoclf.retrain.seen.summaries import Summaries

__all__ = ["MachineSampler", "Summaries", "write_results"]
