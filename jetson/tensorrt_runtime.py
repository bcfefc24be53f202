"""TensorRT's runtime half: its log, an engine read from its plan, and contexts that run it.

Only this module and :mod:`legoclf.jetson.tensorrt_api` ask what a release of TensorRT has. They ask for a
member, never for a version: tensors by name came with ``TensorIOMode`` in 8.5; before, they were bindings by
index.
"""

import json
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.errors import LegoclfError, printable

Shape = Tuple[int, ...]

# trt.nptype names np.bool, which NumPy 1.24 dropped.
_DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "INT64": np.int64,
}
_KEPT_MESSAGES = 50


class TensorInfo(NamedTuple):
    """One input or output of an engine; a free dimension is -1 in its shape."""

    name: str
    is_input: bool
    shape: Shape
    dtype: np.dtype


class NvidiaLog(object):
    """What TensorRT says: errors and warnings are kept, and ``show`` gets each message as one line.

    Attributes:
        logger: what TensorRT's objects are made with.
        errors: since :meth:`clear`, oldest first; no more than 50.
        warnings: likewise, each once.
        show: called with every line, or None. TensorRT may call it from its own threads.
    """

    def __init__(self, trt: Any) -> None:
        self.errors: List[str] = []
        self.warnings: List[str] = []
        self.show: Optional[Callable[[str], None]] = None
        self.logger = _make_logger(trt, self._receive)

    def clear(self) -> None:
        """Forget what was kept."""
        del self.errors[:]
        del self.warnings[:]

    def reason(self) -> str:
        """The first error since :meth:`clear`, which those after it follow from."""
        return self.errors[0] if self.errors else "it gave no reason (--verbose shows all it says)"

    def _receive(self, severity: str, message: str) -> None:
        line = printable(" ".join(message.split()))
        kept = {"ERROR": self.errors, "INTERNAL_ERROR": self.errors, "WARNING": self.warnings}.get(severity)
        if kept is not None and line not in kept and len(kept) < _KEPT_MESSAGES:
            kept.append(line)
        if self.show is not None:
            try:
                self.show("TensorRT {}: {}".format(severity.lower().replace("_", " "), line))
            except Exception:  # an exception that reaches TensorRT's C++ ends the process
                self.show = None


def _make_logger(trt: Any, receive: Callable[[str, str], None]) -> Any:
    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            receive(severity.name, msg)

    return Logger()


def create(kind: Any, log: NvidiaLog) -> Any:
    """``kind(logger)``: a builder or a runtime.

    Raises:
        LegoclfError: TensorRT does not start: no driver, no GPU.
    """
    log.clear()
    try:
        return kind(log.logger)
    except TypeError as error:  # pybind11's way to say that C++ returned a null pointer
        raise LegoclfError(
            "TensorRT does not start its {}: {}; is there a GPU, and its driver? (legoclf doctor)".format(
                kind.__name__.lower(), log.errors[0] if log.errors else error
            )
        ) from error


class Engine(object):
    """An engine, loaded from its plan; its contexts must go before it.

    Args:
        product: the name and version of TensorRT, for messages.
        plan: an engine is native code: only one whose hash was checked.
        dla_core: the DLA core it was built for; None for the GPU.
        host_code: let a version-compatible plan bring the runtime that it holds.

    Attributes:
        tensors: inputs and outputs in the engine's order.

    Raises:
        LegoclfError: the plan is damaged, or of another TensorRT or GPU.
    """

    def __init__(
        self,
        trt: Any,
        log: NvidiaLog,
        product: str,
        plan: bytes,
        dla_core: Optional[int] = None,
        host_code: bool = False,
    ) -> None:
        self._trt = trt
        self._log = log
        self._product = product
        self._runtime = create(trt.Runtime, log)
        if dla_core is not None:
            self._runtime.DLA_core = dla_core
        if host_code:
            self._runtime.engine_host_code_allowed = True
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise LegoclfError(
                "{} does not load the engine: {}; an engine runs only on the TensorRT and the GPU that it "
                "was built for: build it here with legoclf build-engine --rebuild always".format(
                    product, log.reason()
                )
            )
        by_name = hasattr(trt, "TensorIOMode")
        self._io: Any = _ByName(trt, self._engine) if by_name else _ByIndex(self._engine)
        self.tensors: List[TensorInfo] = self._io.tensors()

    def profile(self, tensor: TensorInfo) -> Tuple[Shape, Shape, Shape]:
        """The smallest, the optimal and the largest shape that an input takes."""
        if -1 not in tensor.shape:
            return tensor.shape, tensor.shape, tensor.shape
        smallest, optimal, largest = (tuple(shape) for shape in self._io.profile(tensor.name))
        return smallest, optimal, largest

    def create_context(self) -> "Context":
        """A context of its own: shapes, activations, and its place in a stream.

        Raises:
            LegoclfError: the GPU's memory does not suffice.
        """
        self._log.clear()
        context = self._engine.create_execution_context()
        if context is None:
            raise LegoclfError(
                "{} makes no context for the engine: {}; free memory, or build with a smaller --batch".format(
                    self._product, self._log.reason()
                )
            )
        return Context(self._trt, self._log, self._product, self._io, context)

    def layers(self) -> List[Any]:
        """The engine inspector's word on each layer: a dict, or only its name where the engine has no more.

        Raises:
            LegoclfError: the inspector's answer cannot be read.
        """
        inspector = self._engine.create_engine_inspector()
        text = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        try:
            return list(json.loads(text)["Layers"])
        except (ValueError, KeyError, TypeError) as error:
            raise LegoclfError("{}'s layer table cannot be read: {}".format(self._product, error)) from error


class Context(object):
    """One execution of an engine after the other: :meth:`set_shape`, :meth:`bind` once, :meth:`execute`."""

    def __init__(self, trt: Any, log: NvidiaLog, product: str, io: Any, context: Any) -> None:
        self._trt = trt
        self._log = log
        self._product = product
        self._io = io
        self._context = context
        self._execute: Optional[Callable[[int], bool]] = None

    def set_shape(self, name: str, shape: Shape) -> None:
        """The shape of a dynamic input from now on."""
        self._log.clear()
        self._check(self._io.set_shape(self._context, name, shape), "the shape {}".format(list(shape)))

    def shape(self, name: str) -> Shape:
        """A tensor's shape, as the inputs' shapes make it."""
        return tuple(self._io.shape(self._context, name))

    def bind(self, addresses: Dict[str, int]) -> None:
        """Where each input and output lies in device memory."""
        self._log.clear()
        self._execute = self._io.bound(self._context, addresses)
        self._check(self._execute is not None, "the addresses of its tensors")

    def execute(self, stream: int) -> None:
        """Queue one execution on a stream."""
        assert self._execute is not None, "bind() first"
        self._log.clear()
        self._check(self._execute(stream), "the execution")

    def report_layer_times(self, receive: Callable[[str, float], None]) -> None:
        """``receive`` gets each layer's name and milliseconds; from now on an execution waits for them."""
        self._profiler = _make_profiler(self._trt, receive)
        self._context.profiler = self._profiler

    def _check(self, good: bool, what: str) -> None:
        if not good:
            raise LegoclfError("{} refuses {}: {}".format(self._product, what, self._log.reason()))


def _make_profiler(trt: Any, receive: Callable[[str, float], None]) -> Any:
    class Profiler(trt.IProfiler):
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            receive(layer_name, ms)

    return Profiler()


class _ByName(object):
    """Tensors of TensorRT 8.5 and later."""

    def __init__(self, trt: Any, engine: Any) -> None:
        self._trt = trt
        self._engine = engine

    def tensors(self) -> List[TensorInfo]:
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        return [
            TensorInfo(
                name,
                self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT,
                tuple(self._engine.get_tensor_shape(name)),
                _dtype(name, self._engine.get_tensor_dtype(name)),
            )
            for name in names
        ]

    def profile(self, name: str) -> Any:
        return self._engine.get_tensor_profile_shape(name, 0)

    def set_shape(self, context: Any, name: str, shape: Shape) -> bool:
        return bool(context.set_input_shape(name, shape))

    def shape(self, context: Any, name: str) -> Any:
        return context.get_tensor_shape(name)

    def bound(self, context: Any, addresses: Dict[str, int]) -> Optional[Callable[[int], bool]]:
        placed = [context.set_tensor_address(name, address) for name, address in addresses.items()]
        return context.execute_async_v3 if all(placed) else None


class _ByIndex(object):
    """Bindings of TensorRT before 8.5."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._names = [engine.get_binding_name(index) for index in range(engine.num_bindings)]

    def tensors(self) -> List[TensorInfo]:
        return [
            TensorInfo(
                name,
                bool(self._engine.binding_is_input(index)),
                tuple(self._engine.get_binding_shape(index)),
                _dtype(name, self._engine.get_binding_dtype(index)),
            )
            for index, name in enumerate(self._names)
        ]

    def profile(self, name: str) -> Any:
        return self._engine.get_profile_shape(0, self._names.index(name))

    def set_shape(self, context: Any, name: str, shape: Shape) -> bool:
        return bool(context.set_binding_shape(self._names.index(name), shape))

    def shape(self, context: Any, name: str) -> Any:
        return context.get_binding_shape(self._names.index(name))

    def bound(self, context: Any, addresses: Dict[str, int]) -> Optional[Callable[[int], bool]]:
        bindings = [addresses[name] for name in self._names]
        return lambda stream: bool(context.execute_async_v2(bindings, stream))


def _dtype(name: str, kind: Any) -> np.dtype:
    if kind.name not in _DTYPES:
        known = ", ".join(sorted(_DTYPES))
        raise LegoclfError(
            "the engine's tensor '{}' is {}, expected one of {}".format(name, kind.name, known)
        )
    return np.dtype(_DTYPES[kind.name])
