"""The fake TensorRT's builder: what it refuses, and the plan it makes."""

import hashlib
import os
import signal
import time
from typing import Any, Callable, ClassVar, Dict, List, Optional, Tuple

from fake_tensorrt_config import IBuilderConfig, IOptimizationProfile
from fake_tensorrt_engine import ICudaEngine
from fake_tensorrt_facade import Behaviour, Release
from fake_tensorrt_network import INetworkDefinition, ITensor
from fake_tensorrt_plan import Plan, write_plan

# As NVIDIA's builder logs them.
_BUILD_LINES = (
    ("INFO", "[MemUsageChange] Init CUDA: CPU +223, GPU +0, now: CPU 223, GPU 1893 (MiB)"),
    ("VERBOSE", "Original: {layers} layers"),
    ("VERBOSE", "After dead-layer removal: {layers} layers"),
    ("INFO", "Detected {inputs} inputs and {outputs} output network tensors."),
    ("INFO", "Total Host Persistent Memory: 6208"),
)

_INTERNAL = "4: [network.cpp::validate::3015] Error Code 4: Internal Error ({})"
_USAGE = "3: [builder.cpp::buildSerializedNetwork::609] Error Code 3: API Usage Error ({})"


class Builder(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {
        "error_recorder": None,
        "gpu_allocator": None,
        "max_threads": 1,
        "max_batch_size": 1,
    }

    def __init__(self, release: Release, logger: Any) -> None:
        super().__init__(release)
        self.logger = logger
        settings = release.settings
        require_gpu(release, logger)
        self.platform_has_fast_fp16 = settings.fast_fp16
        self.platform_has_fast_int8 = settings.fast_int8
        self.platform_has_tf32 = settings.compute_capability[0] >= 8
        self.num_DLA_cores = settings.dla_cores
        self.max_DLA_batch_size = 4096 if settings.dla_cores else 1

    def create_network(self, flags: int) -> INetworkDefinition:
        return INetworkDefinition(self.release, self, flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self.release, self.logger)

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile(self.release, self.logger)

    def reset(self) -> None:
        self.set_defaults()

    def is_network_supported(self, network: INetworkDefinition, config: IBuilderConfig) -> bool:
        return _refusal(network, config) is None

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> Any:
        plan = self._build(network, config)
        return None if plan is None else self.release.host_memory(write_plan(plan))

    def build_engine(self, network: INetworkDefinition, config: IBuilderConfig) -> Optional[ICudaEngine]:
        plan = self._build(network, config)
        return None if plan is None else ICudaEngine(self.release, plan, self.logger)

    build_engine_with_config = build_engine

    def _build(self, network: INetworkDefinition, config: IBuilderConfig) -> Optional[Plan]:
        settings = self.release.settings
        refused = _refusal(network, config)
        if refused is None:
            self._tell(network)
            time.sleep(settings.build_seconds)
            if settings.kill_build:
                os.kill(os.getpid(), signal.SIGKILL)
            refused = self._failure(network, config)
        if refused is not None:
            self.release.log(self.logger, "ERROR", refused)
            return None
        plan = _plan(network, config)
        cache = config.get_timing_cache()
        if cache is not None and not config.has_flag("DISABLE_TIMING_CACHE"):
            digest = hashlib.sha256(plan.onnx + plan.precision.encode()).hexdigest()
            cache.entries += [digest] if digest not in cache.entries else []
        return plan

    def _tell(self, network: INetworkDefinition) -> None:
        sizes = {"layers": len(network.fused), "inputs": network.num_inputs, "outputs": network.num_outputs}
        for severity, line in _BUILD_LINES if self.release.settings.log_build else ():
            self.release.log(self.logger, severity, line.format(**sizes))

    def _failure(self, network: INetworkDefinition, config: IBuilderConfig) -> Optional[str]:
        """What went wrong while building; None where nothing did."""
        settings = self.release.settings
        if not _report_progress(network, config):
            return "Error Code 10: Internal Error (the build was cancelled by its progress monitor)"
        if config.workspace is not None and config.workspace < settings.workspace_needed:
            sizes = settings.workspace_needed >> 20, config.workspace >> 20
            text = "Tactic Device request: {}MB Available: {}MB. Device memory is insufficient to use tactic."
            self.release.log(self.logger, "WARNING", text.format(*sizes))
            text = (
                "10: [optimizer.cpp::computeCosts::1855] Error Code 10: Internal Error (Could not find any "
                "implementation for node {}.)"
            )
            return text.format(network.fused[0].name)
        if settings.build_fails:
            return (
                "2: [builder.cpp::buildSerializedNetwork::609] Error Code 2: Internal Error (Assertion "
                "enginePtr != nullptr failed. )"
            )
        return None


def require_gpu(release: Release, logger: Any) -> None:
    """TypeError, as pybind11 has it for the null pointer that TensorRT gives where CUDA does not start."""
    if release.settings.no_gpu:
        text = "6: [wrapper.cpp::CUDA::87] CUDA initialization failure with error: 35"
        release.log(logger, "ERROR", text)
        raise TypeError("pybind11::init(): factory function returned nullptr")


def _report_progress(network: INetworkDefinition, config: IBuilderConfig) -> bool:
    """Whether the caller's monitor, where there is one, lets the build go on to its end."""
    monitor, going = config.progress_monitor, True
    if monitor is not None:
        call_back = network.release.call_back
        call_back(monitor, "phase_start", "Building Engine", None, len(network.fused))
        for step in range(len(network.fused)):
            going = going and bool(call_back(monitor, "step_complete", "Building Engine", step))
        call_back(monitor, "phase_finish", "Building Engine")
    return going


def _refusal(network: INetworkDefinition, config: IBuilderConfig) -> Optional[str]:
    """Why TensorRT does not build this, in its words; None where it does."""
    if not network.outputs:
        return _INTERNAL.format("Network must have at least one output")
    checks: Tuple[Callable[..., Optional[str]], ...] = (_precision_refusal, _dla_refusal, _reach_refusal)
    found = [_shape_refusal(tensor, config) for tensor in network.inputs]
    return next(filter(None, found + [check(network, config) for check in checks]), None)


def _shape_refusal(tensor: ITensor, config: IBuilderConfig) -> Optional[str]:
    if -1 not in tensor.shape:
        return None
    if not config.profiles:
        text = "Network has dynamic or shape inputs, but no optimization profile has been defined."
        return _INTERNAL.format(text)
    for profile in config.profiles:
        low, _, high = profile.get_shape(tensor.name) or [(), (), ()]
        fits = all(size in (-1, a) and size in (-1, b) for size, a, b in zip(tensor.shape, low, high))
        if len(low) != len(tensor.shape) or not fits:
            text = "{}: dynamic input is missing dimensions in profile 0."
            return _INTERNAL.format(text.format(tensor.name))
    return None


def _precision_refusal(network: INetworkDefinition, config: IBuilderConfig) -> Optional[str]:
    precisions = [name for name in ("FP16", "INT8", "BF16", "FP8", "INT4", "FP4") if config.has_flag(name)]
    if network.strongly_typed:
        text = "k{} flag must not be set for a strongly typed network"
        return _USAGE.format(text.format(precisions[0])) if precisions else None
    quantized = any(layer.operator in ("QuantizeLinear", "DequantizeLinear") for layer in network.layers)
    if quantized and "INT8" not in precisions:
        return _INTERNAL.format(
            "Int8 precision has been set for a layer or layer output, but int8 is not configured in the "
            "builder"
        )
    if "INT8" in precisions and not quantized and config.int8_calibrator is None:
        return _INTERNAL.format("Calibration failure occurred with no scaling factors detected.")
    return None


def _dla_refusal(network: INetworkDefinition, config: IBuilderConfig) -> Optional[str]:
    dla, cores = network.release.enum("DeviceType.DLA"), network.release.settings.dla_cores
    layers = [layer for layer in network.layers if config.get_device_type(layer) == dla]
    if not layers:
        return None
    if not 0 <= config.DLA_core < cores:
        return _USAGE.format("DLA core {} of {}".format(config.DLA_core, cores))
    if not (network.strongly_typed or config.has_flag("FP16") or config.has_flag("INT8")):
        return _USAGE.format("Default DLA is enabled, and a DLA supports only FP16 and Int8 precision type.")
    left = [layer.name for layer in layers if not config.can_run_on_DLA(layer)]
    if left and not config.has_flag("GPU_FALLBACK"):
        return _USAGE.format("Layer {} cannot run on DLA and GPU fallback is not enabled.".format(left[0]))
    return None


def _reach_refusal(network: INetworkDefinition, config: IBuilderConfig) -> Optional[str]:
    level = getattr(config.hardware_compatibility_level, "name", "NONE")
    if level == "AMPERE_PLUS" and network.release.settings.compute_capability[0] < 8:
        return _USAGE.format("Ampere+ hardware compatibility needs compute capability 8.0 or later")
    return None


def _fp32_nodes(network: INetworkDefinition) -> List[str]:
    """The nodes of which every layer was told to stay FP32; a constant is stored as who takes it wants it."""
    float32 = network.release.enum("DataType.FLOAT")
    computing = [layer for layer in network.layers if layer.kind != "CONSTANT"]
    free = {layer.node for layer in computing if not (layer.precision_is_set and layer.precision == float32)}
    return [layer.node for layer in computing if layer.is_main and layer.node not in free]


def _plan(network: INetworkDefinition, config: IBuilderConfig) -> Plan:
    release = network.release
    flags = [name for name in release.facts.enums.get("BuilderFlag", {}) if config.has_flag(name)]
    weak = "int8" if "INT8" in flags else "fp16" if "FP16" in flags else "fp32"
    # Without one of these a layer's precision is a wish that the builder may pass over.
    constrained = {"OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS", "STRICT_TYPES"} & set(flags)
    return Plan(
        onnx=network.onnx,
        release=release.facts.release,
        gpu_name=release.settings.gpu_name,
        compute_capability=tuple(release.settings.compute_capability),
        precision="typed" if network.strongly_typed else weak,
        flags=flags,
        inputs={tensor.name: list(tensor.shape) for tensor in network.inputs},
        outputs={tensor.name: list(tensor.shape) for tensor in network.outputs},
        dtypes={tensor.name: tensor.dtype.name for tensor in network.inputs + network.outputs},
        profiles=[
            {name: [list(shape) for shape in shapes] for name, shapes in one.shapes.items()}
            for one in config.profiles
        ],
        layers=[[layer.node, layer.type.name] for layer in network.fused],
        fp32_layers=_fp32_nodes(network) if constrained else [],
        workspace=config.workspace,
        optimization_level=config.builder_optimization_level,
        dla_core=config.DLA_core,
        hardware_compatibility=getattr(config.hardware_compatibility_level, "name", "NONE"),
        profiling_verbosity=config.profiling_verbosity.name,
    )
