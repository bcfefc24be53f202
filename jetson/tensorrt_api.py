"""The one adapter to TensorRT, from 8.2.1 to 11 and TensorRT for RTX: what it has, and its builder half.

A feature is found by the presence of a member. Where a release lacks one, the question here says so and the
caller decides; what is then called must be there, so that a release with other names fails aloud.
"""

import importlib
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from legoclf.errors import LegoclfError, printable
from legoclf.jetson.tensorrt_layers import float_outputs, layers_of
from legoclf.jetson.tensorrt_runtime import Engine, NvidiaLog, Shape, create

MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")


def find_tensorrt() -> "TensorRTApi":
    """TensorRT as this Python has it, else TensorRT for RTX.

    Raises:
        LegoclfError: neither loads; the message has the cause of each that is there but broken.
    """
    broken = []
    for name in MODULES:
        try:
            return TensorRTApi(importlib.import_module(name))
        except (ImportError, OSError) as error:  # OSError: a shared library that is not there
            if getattr(error, "name", None) != name:
                broken.append(" ({}: {})".format(name, printable(str(error))))
    raise LegoclfError(
        "TensorRT cannot be imported{}: JetPack brings it for the system's python3 (sudo apt-get install "
        "python3-libnvinfer; a venv sees it with --system-site-packages); on a PC with an RTX GPU: "
        "pip install tensorrt-rtx".format("".join(broken))
    )


class ParseProblem(NamedTuple):
    """Why the parser refused: the node's place in the graph (-1: none), its name and operator where told."""

    node: int
    name: str
    operator: str
    reason: str


class TensorRTApi(object):
    """One TensorRT module: its version, what it has, and how to build and load engines with it.

    Attributes:
        trt: the module itself; only this adapter's two modules use it.
        name: "TensorRT 8.2.1.8", "TensorRT for RTX 1.7.1.116".
        log: all that TensorRT says.
    """

    def __init__(self, module: Any) -> None:
        self.trt = module
        self.version = str(module.__version__)
        self.is_rtx = "rtx" in module.__name__
        self.name = "{} {}".format("TensorRT for RTX" if self.is_rtx else "TensorRT", self.version)
        self.log = NvidiaLog(module)
        self._has_plugins = False

    @property
    def has_precision_flags(self) -> bool:
        """Whether the builder chooses FP16 and INT8 by flags; without them, types are those of the ONNX."""
        return self._has("BuilderFlag", "FP16")

    @property
    def has_strong_typing(self) -> bool:
        """Whether a network can be bound to the types of its ONNX."""
        return self._has("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")

    @property
    def has_optimization_level(self) -> bool:
        """Whether the builder's effort can be chosen."""
        return self._has("IBuilderConfig", "builder_optimization_level")

    @property
    def has_version_compatibility(self) -> bool:
        """Whether an engine can be built that later releases load."""
        return self._has("BuilderFlag", "VERSION_COMPATIBLE")

    @property
    def has_hardware_compatibility(self) -> bool:
        """Whether an engine can be built that other GPUs run."""
        # TensorRT for RTX has the member and warns that it is unsupported.
        return not self.is_rtx and self._has("IBuilderConfig", "hardware_compatibility_level")

    @property
    def has_timing_cache(self) -> bool:
        """Whether what the builder measured can be kept; TensorRT for RTX measures nothing."""
        return not self.is_rtx

    @property
    def has_progress(self) -> bool:
        """Whether the builder tells how far it is."""
        return self._has("IProgressMonitor", "step_complete")

    @property
    def compute_capabilities(self) -> List[str]:
        """The GPUs that can be built for without having one ("8.9"); empty: only for this machine's."""
        members = getattr(getattr(self.trt, "ComputeCapability", None), "__members__", {})
        digits = [name[2:] for name in members if name.startswith("SM")]
        return ["{}.{}".format(each[:-1], each[-1]) for each in digits]

    def load_engine(self, plan: bytes, dla_core: Optional[int] = None, host_code: bool = False) -> Engine:
        """An engine from its plan; see :class:`legoclf.jetson.tensorrt_runtime.Engine`."""
        self._load_plugins()
        return Engine(self.trt, self.log, self.name, plan, dla_core, host_code)

    def new_build(self, strongly_typed: bool) -> "Build":
        """A build with an empty network."""
        self._load_plugins()
        return Build(self, strongly_typed)

    def _load_plugins(self) -> None:
        # Some ONNX operators are plugins, and an engine that has them loads only where they are registered.
        if not self._has_plugins and hasattr(self.trt, "init_libnvinfer_plugins"):
            self.trt.init_libnvinfer_plugins(self.log.logger, "")
        self._has_plugins = True

    def _has(self, kind: str, member: str) -> bool:
        return hasattr(getattr(self.trt, kind, None), member)


class Build(object):
    """One network on its way to an engine: :meth:`parse`, the wishes, :meth:`run`.

    Raises:
        LegoclfError: TensorRT does not start.
    """

    def __init__(self, api: TensorRTApi, strongly_typed: bool) -> None:
        self._trt = trt = api.trt
        self._failures: List[BaseException] = []
        self._api = api
        self._log = api.log
        self._builder = create(trt.Builder, api.log)
        creation = trt.NetworkDefinitionCreationFlag
        flags = 0
        if hasattr(creation, "EXPLICIT_BATCH"):  # gone in 11, where there is no other
            flags |= 1 << int(creation.EXPLICIT_BATCH)
        if strongly_typed:
            flags |= 1 << int(creation.STRONGLY_TYPED)
        self._network = self._builder.create_network(flags)
        self._config = self._builder.create_builder_config()
        self._config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the engine inspector

    def parse(self, onnx: bytes) -> List[ParseProblem]:
        """Fill the network; what stood in the way, empty where nothing did."""
        # Kept: the network uses the weights in it until it is built.
        self._parser = self._trt.OnnxParser(self._network, self._log.logger)
        if self._parser.parse(onnx):
            return []
        problems = [self._problem(self._parser.get_error(at)) for at in range(self._parser.num_errors)]
        return problems or [ParseProblem(-1, "", "", self._log.reason())]

    def _problem(self, error: Any) -> ParseProblem:
        named = hasattr(error, "node_name")  # from 10 on
        return ParseProblem(
            int(error.node()),
            error.node_name() if named else "",
            error.node_operator() if named else "",
            printable(" ".join(error.desc().split())),
        )

    def inputs(self) -> Dict[str, Shape]:
        """The network's inputs and their shapes; a free dimension is -1."""
        tensors = [self._network.get_input(index) for index in range(self._network.num_inputs)]
        return {tensor.name: tuple(tensor.shape) for tensor in tensors}

    def limit_workspace(self, nbytes: int) -> None:
        """The memory that the layers' algorithms may use beside weights and activations."""
        if hasattr(self._trt, "MemoryPoolType"):  # from 8.4 on
            self._config.set_memory_pool_limit(self._trt.MemoryPoolType.WORKSPACE, nbytes)
        else:
            self._config.max_workspace_size = nbytes

    def allow(self, precision: str) -> bool:
        """Let layers run in "FP16" or "INT8"; whether this GPU is fast in it."""
        self._config.set_flag(getattr(self._trt.BuilderFlag, precision))
        return bool(getattr(self._builder, "platform_has_fast_" + precision.lower()))

    def keep_fp32(self, names: Iterable[str], nodes: Sequence[Tuple[str, Sequence[str]]]) -> List[str]:
        """Let nodes stay FP32 in an FP16 build, results included; the names of those that have no layer.

        Args:
            nodes: of the ONNX that was parsed, all of them: each one's name and those of its outputs.
        """
        self._config.set_flag(self._trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        layers = [self._network.get_layer(index) for index in range(self._network.num_layers)]
        found = layers_of(layers, nodes, names)
        for layer in (layer for its in found.values() for layer in its):
            for output in float_outputs(layer):
                layer.precision = self._trt.DataType.FLOAT
                layer.set_output_type(output, self._trt.DataType.FLOAT)
        return sorted(name for name, its in found.items() if not its)

    def set_profile(self, name: str, shapes: Tuple[Shape, Shape, Shape]) -> None:
        """The smallest, the optimal and the largest shape of a dynamic input."""
        profile = self._builder.create_optimization_profile()
        profile.set_shape(name, *shapes)
        if self._config.add_optimization_profile(profile) < 0:
            raise LegoclfError("{} refuses the profile {}".format(self._api.name, shapes))

    def set_optimization_level(self, level: int) -> None:
        """0 builds fastest, 5 searches longest."""
        self._config.builder_optimization_level = level

    def be_version_compatible(self) -> None:
        """Build what later releases load."""
        self._config.set_flag(self._trt.BuilderFlag.VERSION_COMPATIBLE)

    def be_hardware_compatible(self) -> None:
        """Build what every GPU since Ampere runs."""
        self._config.hardware_compatibility_level = self._trt.HardwareCompatibilityLevel.AMPERE_PLUS

    def set_compute_capability(self, wanted: str) -> None:
        """Build for a GPU of :attr:`TensorRTApi.compute_capabilities`, which need not be there."""
        self._config.num_compute_capabilities = 1
        target = getattr(self._trt.ComputeCapability, "SM" + wanted.replace(".", ""))
        self._config.set_compute_capability(target, 0)

    def dla_cores(self) -> int:
        """How many deep learning accelerators this device has."""
        return int(self._builder.num_DLA_cores)

    def use_dla(self, core: int) -> None:
        """Run on a DLA core what it can, the rest on the GPU."""
        self._config.default_device_type = self._trt.DeviceType.DLA
        self._config.DLA_core = core
        self._config.set_flag(self._trt.BuilderFlag.GPU_FALLBACK)

    def use_timing_cache(self, data: bytes) -> bool:
        """Start from what an earlier build measured; False: TensorRT does not take it, and starts afresh.

        TensorRT takes a damaged cache for an empty one and only warns.
        """
        kept = (self._log.errors, self._log.warnings)
        before = [len(lines) for lines in kept]
        cache = self._config.create_timing_cache(data)
        taken = cache is not None and bool(self._config.set_timing_cache(cache, False))
        taken = taken and [len(lines) for lines in kept] == before
        if not taken:
            self._config.set_timing_cache(self._config.create_timing_cache(b""), False)
        for lines, length in zip(kept, before):
            del lines[length:]
        return taken

    def timing_cache(self) -> bytes:
        """What this build and those before it measured."""
        return bytes(self._config.get_timing_cache().serialize())

    def report_progress(self, receive: Callable[[str, int, int], None]) -> None:
        """``receive`` gets a phase's name, its steps done and their number; from TensorRT's own threads.

        What it raises ends the build, and :meth:`run` raises it again.
        """
        self._monitor = _make_monitor(self._trt, receive, self._failures)
        self._config.progress_monitor = self._monitor

    def run(self) -> bytes:
        """Build; the engine's plan.

        Raises:
            LegoclfError: with the first error of NVIDIA's.
        """
        self._log.errors.clear()
        plan = self._builder.build_serialized_network(self._network, self._config)
        if self._failures:
            raise self._failures[0]
        if plan is None:
            raise LegoclfError(
                "{} builds no engine: {}; where memory is the cause, try another --workspace, else "
                "--verbose shows all that TensorRT says".format(self._api.name, self._log.reason())
            )
        return bytes(plan)


def _make_monitor(trt: Any, receive: Callable[[str, int, int], None], failures: List[BaseException]) -> Any:
    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: Dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                receive(phase_name, step + 1, self._steps.get(phase_name, 0))
            except BaseException as error:  # one that reaches TensorRT's C++ ends the process
                failures.append(error)
                return False  # ends the build
            return True

    return Monitor()
