"""CUDA graphs: work that was queued on a stream once is queued again by one call.

A network is hundreds of kernels, and launching each takes the CPU microseconds that a Nano has few of.
"""

import contextlib
import ctypes
import logging
from typing import Any, Callable, Optional

from legoclf.errors import LegoclfError

LOGGER = logging.getLogger(__name__)

#: A capture costs as much as some runs, and TensorRT wants at least one run of each shape before it.
RUNS_BEFORE_CAPTURE = 3

# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on allocating meanwhile.
_THREAD_LOCAL = 1


class Graphs(object):
    """Captures what is queued on a stream, by libcuda: streams of CUDA's runtime are its own.

    The stream is not the default one, and waits for nothing between :meth:`begin` and :meth:`end`. Used by
    the thread whose context the stream belongs to.

    Args:
        driver: libcuda by ctypes, of CUDA 10.1 or later; see :func:`driver_graphs`.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        # CUDA 11.4 gave it another signature by a name of its own; the old name stayed.
        self._with_flags = hasattr(driver, "cuGraphInstantiateWithFlags")

    def begin(self, stream: int) -> None:
        """From now on what is queued on the stream is recorded, and not done."""
        self._call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), ctypes.c_int(_THREAD_LOCAL))

    def end(self, stream: int) -> int:
        """What was recorded, ready to :meth:`launch`; the stream works as before.

        Raises:
            LegoclfError: something was queued that cannot be recorded.
        """
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        try:
            if self._with_flags:
                self._call(
                    "cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0)
                )
            else:
                self._call(
                    "cuGraphInstantiate", ctypes.byref(executable), graph, None, None, ctypes.c_size_t(0)
                )
        finally:
            self._call("cuGraphDestroy", graph)
        return executable.value or 0

    def launch(self, graph: int, stream: int) -> None:
        """Queue all of it on a stream: the same work on the same addresses."""
        self._call("cuGraphLaunch", ctypes.c_void_p(graph), ctypes.c_void_p(stream))

    def destroy(self, graph: int) -> None:
        """Give it back; what was launched has ended."""
        self._call("cuGraphExecDestroy", ctypes.c_void_p(graph))

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._driver, function)(*arguments)
        if status:
            raise LegoclfError("CUDA: {} failed: error {}".format(function, status))


def driver_graphs(driver: Any) -> Optional[Graphs]:
    """What captures with this driver; None where it is older than CUDA 10.1."""
    return Graphs(driver) if hasattr(driver, "cuStreamBeginCapture_v2") else None


class Replay(object):
    """Queues the same work over and over: plainly at first, then as a captured graph.

    Args:
        graphs: what captures; None never does.
    """

    def __init__(self, graphs: Optional[Graphs]) -> None:
        self._graphs = graphs
        self._graph = 0
        self._runs = 0

    def queue(self, work: Callable[[int], None], stream: int) -> None:
        """Queue the work on a stream. :meth:`forget` before it is another work, or the stream another."""
        if self._graphs is not None and self._graph:
            self._graphs.launch(self._graph, stream)
        else:
            work(stream)

    def succeeded(self, work: Callable[[int], None], stream: int) -> None:
        """The work was queued and has ended well, and the stream is idle: captures it when that pays."""
        self._runs += 1
        if self._graphs is None or self._graph or self._runs < RUNS_BEFORE_CAPTURE:
            return
        try:
            self._graph = _capture(self._graphs, work, stream)
        except LegoclfError as error:
            self._graphs = None
            LOGGER.info("the network runs without a CUDA graph: %s", error)

    def forget(self) -> None:
        """Give the graph back; what it is of may then change."""
        if self._graphs is not None and self._graph:
            self._graphs.destroy(self._graph)
        self._graph = self._runs = 0


def _capture(graphs: Graphs, work: Callable[[int], None], stream: int) -> int:
    graphs.begin(stream)
    try:
        work(stream)
    except LegoclfError:
        # The stream must leave its capture; what it says of that follows from the error that is told.
        with contextlib.suppress(LegoclfError):
            graphs.destroy(graphs.end(stream))
        raise
    return graphs.end(stream)
