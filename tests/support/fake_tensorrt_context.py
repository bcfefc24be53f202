"""The fake TensorRT's execution context: it runs the engine's ONNX on the bytes at the addresses given."""

import ctypes
import time
from typing import Any, Callable, ClassVar, Dict, List, Optional, Sequence, Tuple

import fake_cuda
import numpy as np
from fake_tensorrt_facade import Behaviour, Release, Shape
from fake_tensorrt_onnx import NUMPY

Shapes = Dict[str, Tuple[int, ...]]


class IExecutionContext(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {
        "debug_sync": False,
        "device_memory": None,
        "enqueue_emits_profile": True,
        "error_recorder": None,
        "name": "",
        "nvtx_verbosity": "ProfilingVerbosity.LAYER_NAMES_ONLY",
        "persistent_cache_limit": 0,
        "profiler": None,
        "temporary_allocator": None,
    }

    def __init__(self, release: Release, engine: Any) -> None:
        super().__init__(release)
        self.engine = engine
        self.active_optimization_profile = 0
        self._shapes = {name: tuple(shape) for name, shape in engine.plan.inputs.items() if -1 not in shape}
        self._addresses: Dict[str, int] = {}
        self._known: Dict[Any, Shapes] = {}

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        count = self.engine.num_optimization_profiles
        if not 0 <= profile_index < count:
            return self._error("profile {} of {}".format(profile_index, count))
        self.active_optimization_profile = profile_index
        return True

    def set_input_shape(self, name: str, shape: Tuple[int, ...]) -> bool:
        if name not in self.engine.plan.inputs:
            return self._error("{} is no input".format(name))
        profile = self.active_optimization_profile
        want = self.engine.plan.inputs[name]
        low, _, high = self.engine.get_tensor_profile_shape(name, profile) if -1 in want else (want,) * 3
        if len(shape) != len(want) or not all(a <= size <= b for a, size, b in zip(low, shape, high)):
            text = (
                "Set dimension {} for tensor {} does not satisfy any optimization profiles. Valid range for "
            )
            text += "profile {}: {}..{}."
            return self._error(text.format(list(shape), name, profile, list(low), list(high)))
        self._shapes[name] = tuple(shape)
        return True

    def set_binding_shape(self, binding: int, shape: Tuple[int, ...]) -> bool:
        return self.set_input_shape(self.engine.binding(binding), shape)

    def get_tensor_shape(self, name: str) -> Shape:
        set_so_far = self._shapes if name in self.engine.plan.inputs else self._output_shapes()
        return Shape(set_so_far.get(name, self.engine.get_tensor_shape(name)))

    def get_binding_shape(self, binding: int) -> Shape:
        return self.get_tensor_shape(self.engine.binding(binding))

    def get_tensor_strides(self, name: str) -> Shape:
        shape = self.get_tensor_shape(name)
        return Shape(int(np.prod(shape[index + 1 :], dtype=np.int64)) for index in range(len(shape)))

    def get_strides(self, binding: int) -> Shape:
        return self.get_tensor_strides(self.engine.binding(binding))

    def infer_shapes(self) -> List[str]:
        """The inputs whose shape was not set yet."""
        return [name for name in self.engine.plan.inputs if name not in self._shapes]

    @property
    def all_binding_shapes_specified(self) -> bool:
        return not self.infer_shapes()

    all_shape_inputs_specified = True

    def _output_shapes(self) -> Shapes:
        """What the outputs measure for the shapes set; known by running the graph on zeros once."""
        if self.infer_shapes():
            return {}
        key = tuple(sorted(self._shapes.items()))
        if key not in self._known:
            zeros = {name: np.zeros(shape, np.float32) for name, shape in self._shapes.items()}
            self._known[key] = {name: one.shape for name, one in self.engine.runner(zeros).items()}
        return self._known[key]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self.engine.names:
            return self._error("{} is no input or output".format(name))
        self._addresses[name] = memory
        return True

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def execute_async_v3(self, stream_handle: int) -> bool:
        missing = [name for name in self.engine.names if not self._addresses.get(name)]
        if missing:
            text = "Address is not set for tensor {}. Call setTensorAddress before enqueue."
            return self._error(text.format(missing[0]))
        return self._enqueue(dict(self._addresses), stream_handle)

    def execute_async_v2(self, bindings: Sequence[int], stream_handle: int, input_consumed: Any) -> bool:
        return self._enqueue(self._bound(bindings), stream_handle)

    def execute_v2(self, bindings: Sequence[int]) -> bool:
        return self._enqueue(self._bound(bindings), None)

    def execute(self, batch_size: int, bindings: Sequence[int]) -> bool:
        return self._error("execute and execute_async serve networks with an implicit batch alone")

    def execute_async(
        self, batch_size: int, bindings: Sequence[int], stream_handle: int, input_consumed: Any
    ) -> bool:
        return self.execute(batch_size, bindings)

    def _bound(self, bindings: Sequence[int]) -> Dict[str, int]:
        names, count = self.engine.names, self.engine.num_bindings
        if len(bindings) != count:
            # TensorRT would read past the list's end.
            raise ValueError("{} bindings given, the engine has {}".format(len(bindings), count))
        start = self.active_optimization_profile * len(names)
        return dict(zip(names, bindings[start : start + len(names)]))

    def _enqueue(self, addresses: Dict[str, int], stream: Optional[int]) -> bool:
        unset = self.infer_shapes()
        if unset:
            text = "Parameter check failed, condition: allInputDimensionsSpecified() ({})"
            return self._error(text.format(", ".join(unset)))
        if self.release.settings.execute_fails:
            return self._error("Error Code 1: Cask (Cask convolution execution)")
        shapes: Shapes = dict(self._shapes, **self._output_shapes())
        device = None if stream is None else fake_cuda.owner_of_stream(stream)
        read = _reader(device, stream, addresses)

        def work() -> None:
            self._run(read, addresses, shapes)

        latency = (self.release.settings.latency_ms or {}).get(self.engine.plan.precision)
        if device is not None and stream is not None:
            device.enqueue("execute", work, stream, latency)
        else:
            time.sleep((latency or 0) / 1000)
            work()
        if self.profiler is not None and self.enqueue_emits_profile:
            self.report_to_profiler()
        return True

    def _run(self, read: Callable, addresses: Dict[str, int], shapes: Shapes) -> None:
        tensors = {}
        for name, shape in shapes.items():
            dtype = np.dtype(NUMPY[self.engine.plan.dtypes[name]])
            nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            tensors[name] = read(addresses[name], nbytes).view(dtype).reshape(shape)
        answers = self.engine.runner({name: tensors[name] for name in self.engine.plan.inputs})
        for name, answer in answers.items():
            with np.errstate(over="ignore", invalid="ignore"):
                tensors[name][...] = answer.astype(tensors[name].dtype)

    def report_to_profiler(self) -> bool:
        """Made-up times, another for each layer."""
        if self.profiler is None:
            return False
        for index, (name, _) in enumerate(self.engine.plan.layers):
            self.release.call_back(self.profiler, "report_layer_time", name, 0.1 * (index + 1))
        return True

    def _error(self, text: str) -> bool:
        message = "[executionContext.cpp::enqueueInternal] Error Code 3: API Usage Error ({})"
        self.release.log(self.engine.logger, "ERROR", message.format(text))
        return False


def _reader(
    device: Optional[fake_cuda.FakeCuda], stream: Optional[int], addresses: Dict[str, int]
) -> Callable[[int, int], np.ndarray]:
    """What gives the bytes at an address, uint8 [n]: a fake device's, checked, or a C stub's host memory."""
    if device is not None:
        return device.view
    owner = next(filter(None, map(fake_cuda.owner_of_address, addresses.values())), None)
    if owner is None:
        return _host_bytes
    if stream is not None:
        raise fake_cuda.FakeCudaError("execute: {!r} is no live stream of the memory's device".format(stream))
    return owner.view


def _host_bytes(address: int, nbytes: int) -> np.ndarray:
    buffer = (ctypes.c_ubyte * nbytes).from_address(address)
    return np.ctypeslib.as_array(buffer)
