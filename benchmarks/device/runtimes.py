"""The networks that a benchmark of inference compares: one runtime for each precision, all open at once."""

import logging
from contextlib import ExitStack
from typing import Any, Callable, List, NamedTuple, Optional, Sequence

from legoclf.bundle import ONNX_MODEL, Bundle
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.runtime import Runtime, open_runtime
from legoclf.jetson.runtime_onnx import GRAPHS

LOGGER = logging.getLogger(__name__)

PRECISIONS = ("fp32", "fp16", "int8")

#: What ONNX Runtime on a CPU computes the FP16 graph in.
FP16_ON_CPU = (
    "ONNX Runtime on a CPU computes the FP16 graph in FP32, with casts around what it fuses: its time says "
    "nothing of FP16 on a GPU"
)


class Opened(NamedTuple):
    """A network at work.

    name: such as "onnxruntime fp32". graph: the ONNX file it runs or its engine was built from.
    least_batch, most_batch: images that it takes at once; most is None where nothing limits it.
    engine: the :class:`legoclf.jetson.engine_store.StoredEngine`; None where ONNX Runtime runs.
    uses_graph: TensorRT's work is queued as a CUDA graph.
    """

    name: str
    backend: str
    precision: str
    graph: str
    runtime: Runtime
    least_batch: int = 1
    most_batch: Optional[int] = None
    engine: Any = None
    uses_graph: bool = False

    def takes(self, batch: int) -> bool:
        """Whether so many images are one inference."""
        return self.least_batch <= batch and (self.most_batch is None or batch <= self.most_batch)


def parse_precisions(text: str) -> Optional[List[str]]:
    """``fp32,fp16`` as a list; None for ``auto``.

    Raises:
        UsageError: a name that is none of PRECISIONS, or stands there twice.
    """
    if text == "auto":
        return None
    names = text.split(",")
    if not set(names) <= set(PRECISIONS) or len(set(names)) < len(names):
        raise UsageError(
            "--precision: got {!r}, expected auto, or some of {}".format(text, ",".join(PRECISIONS))
        )
    return names


def is_dynamic(bundle: Bundle) -> bool:
    """Whether the bundle's graphs take any batch: all do but those that `legoclf convert --batch N` fixed."""
    recorded = bundle.provenance.get("batch")
    return not isinstance(recorded, dict) or recorded.get("dynamic") is not False


def open_runtimes(
    bundle: Bundle,
    stack: ExitStack,
    backend: str = "auto",
    precisions: Optional[Sequence[str]] = None,
    threads: Optional[int] = None,
    say: Callable[[str], None] = LOGGER.warning,
    after_each: Callable[[str], None] = lambda name: None,
) -> List[Opened]:
    """Open a runtime for each precision, its golden images checked.

    Args:
        stack: closes them.
        backend: as of :func:`legoclf.jetson.runtime.open_runtime`. ``auto`` is TensorRT where an engine fits.
        precisions: of PRECISIONS; None for all whose engine fits, and of ONNX Runtime for FP32 and, where
            the bundle holds it, INT8: of FP16 a CPU gains nothing.
        threads: of ONNX Runtime, within one inference.
        say: told of what was expected and is not measured.
        after_each: called with the name of each once it is open.

    Raises:
        LegoclfError: as open_runtime; or a precision that was named cannot be had.
    """
    if backend != "onnxruntime":
        opened = _open_engines(bundle, stack, backend, precisions, say, after_each)
        if opened:
            return opened
    wanted = precisions
    if wanted is None:
        wanted = [name for name in ("fp32", "int8") if name == "fp32" or GRAPHS[name] in bundle.files]
    opened = []
    for precision in wanted:
        try:
            one = _open_graph(bundle, precision, threads)
        except LegoclfError as error:
            if precisions is not None or not opened:
                raise
            say("{} is not measured: {}".format(precision, error))
            continue
        stack.enter_context(one.runtime)
        opened.append(one)
        after_each(one.name)
    return opened


def _open_engines(
    bundle: Bundle,
    stack: ExitStack,
    backend: str,
    precisions: Optional[Sequence[str]],
    say: Callable[[str], None],
    after_each: Callable[[str], None],
) -> List[Opened]:
    """Those with an engine for this machine; none where ``auto`` is to do without TensorRT."""
    from legoclf.jetson.runtime_tensorrt import NoGpu

    opened: List[Opened] = []
    refusals: List[LegoclfError] = []
    for precision in precisions or PRECISIONS:
        try:
            runtime = open_runtime(bundle, "tensorrt", precision=precision, say=say)
        except LegoclfError as error:
            if precisions is not None and (backend == "tensorrt" or opened):
                raise
            refusals.append(error)
            if isinstance(error, NoGpu):
                break
            continue
        stack.enter_context(runtime)
        opened.append(_with_engine(precision, runtime))
        after_each(opened[-1].name)
    if not opened and backend == "tensorrt":
        raise refusals[0]
    if opened or isinstance(refusals[0], NoGpu):
        return opened
    say("{}: meanwhile ONNX Runtime".format(refusals[0]))
    return []


def _with_engine(precision: str, runtime: Any) -> Opened:
    """A TensorRT runtime, and what its engine tells."""
    engine = runtime.engine
    least, _, most = engine.identity.batch
    graph = str(engine.record.get("onnx_file", ONNX_MODEL))
    return Opened(
        "tensorrt " + precision,
        "tensorrt",
        precision,
        graph,
        runtime,
        least,
        most,
        engine,
        runtime.uses_graph,
    )


def _open_graph(bundle: Bundle, precision: str, threads: Optional[int]) -> Opened:
    """A graph in ONNX Runtime."""
    runtime = open_runtime(bundle, "onnxruntime", precision=precision, threads=threads)
    least, most = 1, None
    if not is_dynamic(bundle):
        least = most = int(bundle.provenance["batch"]["most"])
    return Opened(
        "onnxruntime " + precision, "onnxruntime", precision, GRAPHS[precision], runtime, least, most
    )
