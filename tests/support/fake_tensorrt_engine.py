"""The fake TensorRT's engine: tensors by name (from 8.5), bindings by index (until 8.6), the inspector."""

import json
from typing import Any, ClassVar, Dict, List, Optional

import numpy as np
from fake_tensorrt_context import IExecutionContext
from fake_tensorrt_facade import Behaviour, Release, Shape
from fake_tensorrt_onnx import NUMPY, Runner, load
from fake_tensorrt_plan import Plan, write_plan


class ICudaEngine(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {
        "engine_capability": "EngineCapability.STANDARD",
        "error_recorder": None,
        "has_implicit_batch_dimension": False,
        "max_batch_size": 1,
        "minimum_weight_streaming_budget": 0,
        "num_aux_streams": 0,
        "streamable_weights_size": 0,
        "tactic_sources": 3,
        "weight_streaming_budget": 0,
        "weight_streaming_budget_v2": 0,
        "weight_streaming_scratch_memory_size": 0,
    }

    def __init__(self, release: Release, plan: Plan, logger: Any) -> None:
        super().__init__(release)
        self.plan = plan
        self.logger = logger
        model = load(plan.onnx)
        self.name = model.graph.name
        self.runner = Runner(model, plan.precision == "fp16", plan.fp32_layers, list(plan.outputs))
        order = list(plan.inputs) + list(plan.outputs)
        self.names = order[::-1] if release.settings.reverse_bindings else order
        self.num_layers = len(plan.layers)
        self.refittable = "REFIT" in plan.flags
        self.num_optimization_profiles = max(1, len(plan.profiles))
        self.device_memory_size = self.device_memory_size_v2 = 1 << 16
        self.profiling_verbosity = release.enum("ProfilingVerbosity." + plan.profiling_verbosity)
        level = "HardwareCompatibilityLevel." + plan.hardware_compatibility
        self.hardware_compatibility_level = release.enum(level)

    def serialize(self) -> Any:
        return self.release.host_memory(write_plan(self.plan))

    def create_execution_context(self, *strategy: Any) -> Optional[IExecutionContext]:
        if self.release.settings.context_fails:
            text = "[executionContext.cpp] Error Code 2: OutOfMemory (no further information)"
            self.release.log(self.logger, "ERROR", text)
            return None
        return IExecutionContext(self.release, self)

    def create_execution_context_without_device_memory(self) -> Optional[IExecutionContext]:
        return self.create_execution_context()

    def create_engine_inspector(self) -> "EngineInspector":
        return EngineInspector(self.release, self)

    def get_device_memory_size_for_profile(self, profile_index: int) -> int:
        return self.device_memory_size

    get_device_memory_size_for_profile_v2 = get_device_memory_size_for_profile

    @property
    def num_io_tensors(self) -> int:
        return len(self.names)

    def get_tensor_name(self, index: int) -> str:
        if not 0 <= index < len(self.names):
            raise IndexError("Out of bounds")
        return self.names[index]

    def get_tensor_mode(self, name: str) -> Any:
        mode = "INPUT" if name in self.plan.inputs else "OUTPUT" if name in self.plan.outputs else "NONE"
        return self.release.enum("TensorIOMode." + mode)

    def get_tensor_shape(self, name: str) -> Shape:
        return Shape(self.plan.inputs.get(name, self.plan.outputs.get(name, [-1])))

    def get_tensor_dtype(self, name: str) -> Any:
        return self.release.enum("DataType." + self.plan.dtypes.get(name, "FLOAT"))

    def get_tensor_location(self, name: str) -> Any:
        return self.release.enum("TensorLocation.DEVICE")

    def get_tensor_format(self, name: str) -> Any:
        return self.release.enum("TensorFormat.LINEAR")

    def get_tensor_format_desc(self, name: str) -> str:
        return "Row major linear {} format (kLINEAR)".format(self.plan.dtypes[name])

    def get_tensor_bytes_per_component(self, name: str) -> int:
        return int(np.dtype(NUMPY[self.plan.dtypes[name]]).itemsize)

    def get_tensor_components_per_element(self, name: str) -> int:
        return -1

    def get_tensor_vectorized_dim(self, name: str) -> int:
        return -1

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> List[Shape]:
        profile = self.plan.profiles[profile_index] if self.plan.profiles else {}
        return [Shape(one) for one in profile.get(name, [self.get_tensor_shape(name)] * 3)]

    def is_shape_inference_io(self, name: str) -> bool:
        return False

    # Bindings: one set for each profile.

    @property
    def num_bindings(self) -> int:
        return len(self.names) * self.num_optimization_profiles

    def __len__(self) -> int:
        return self.num_bindings

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str) and self.release.has("ICudaEngine.get_binding_index"):
            return self.get_binding_index(index)
        return self.binding(int(index))

    def binding(self, index: int) -> str:
        """The tensor of a binding."""
        if not 0 <= index < self.num_bindings:
            raise IndexError("Out of bounds")
        return self.names[index % len(self.names)]

    def get_binding_name(self, index: int) -> Optional[str]:
        if not 0 <= index < self.num_bindings:
            return None
        profile = index // len(self.names)
        return self.binding(index) + (" [profile {}]".format(profile) if profile else "")

    def get_binding_index(self, name: str) -> int:
        return self.names.index(name) if name in self.names else -1

    def binding_is_input(self, index: int) -> bool:
        return self.binding(index) in self.plan.inputs

    def get_binding_shape(self, index: int) -> Shape:
        return self.get_tensor_shape(self.binding(index))

    def get_binding_dtype(self, index: int) -> Any:
        return self.get_tensor_dtype(self.binding(index))

    def get_location(self, index: int) -> Any:
        return self.get_tensor_location(self.binding(index))

    def get_binding_format(self, index: int) -> Any:
        return self.get_tensor_format(self.binding(index))

    def get_binding_format_desc(self, index: int) -> str:
        return self.get_tensor_format_desc(self.binding(index))

    def get_binding_bytes_per_component(self, index: int) -> int:
        return self.get_tensor_bytes_per_component(self.binding(index))

    def get_binding_components_per_element(self, index: int) -> int:
        return -1

    def get_binding_vectorized_dim(self, index: int) -> int:
        return -1

    def get_profile_shape(self, profile_index: int, binding: Any) -> List[Shape]:
        name = binding if isinstance(binding, str) else self.binding(binding)
        return self.get_tensor_profile_shape(name, profile_index)

    def is_execution_binding(self, binding: int) -> bool:
        return True

    def is_shape_binding(self, binding: int) -> bool:
        return False


class EngineInspector(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {"error_recorder": None, "execution_context": None}

    def __init__(self, release: Release, engine: ICudaEngine) -> None:
        super().__init__(release)
        self._engine = engine

    def get_layer_information(self, layer_index: int, form: Any) -> str:
        found = self._layer(*self._engine.plan.layers[layer_index])
        return json.dumps(found) if form.name == "JSON" else str(found)

    def get_engine_information(self, form: Any) -> str:
        layers = [self._layer(*one) for one in self._engine.plan.layers]
        if form.name != "JSON":
            return "Layers:\n" + "\n".join(map(str, layers))
        return json.dumps({"Layers": layers, "Bindings": self._engine.names})

    def _layer(self, name: str, kind: str) -> Any:
        """A name; all that is known of it only where the engine was built with detailed verbosity."""
        plan = self._engine.plan
        if plan.profiling_verbosity not in ("DETAILED", "VERBOSE"):
            return name
        bits = 16 if plan.precision == "fp16" and name not in plan.fp32_layers else 32
        form = "Row major linear FP{} format".format(bits)
        outputs = [{"Name": name + "_out", "Format/Datatype": form}]
        return {"Name": name, "LayerType": kind.title(), "Outputs": outputs, "TacticName": "fake"}
