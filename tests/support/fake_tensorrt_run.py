"""The fake TensorRT's runtime, loggers, profiler and dimensions."""

import sys
from typing import Any, ClassVar, Dict, Optional

from fake_tensorrt_build import require_gpu
from fake_tensorrt_engine import ICudaEngine
from fake_tensorrt_facade import Behaviour, Release, Shape
from fake_tensorrt_plan import DamagedPlanError, Plan, read_plan


class Logger(Behaviour):
    def __init__(self, release: Release, min_severity: Any) -> None:
        super().__init__(release)
        self.min_severity = release.enum("Severity.WARNING") if min_severity is None else min_severity

    def log(self, severity: Any, msg: str) -> None:
        if int(severity) <= int(self.min_severity):
            sys.stderr.write("[TRT] [{}] {}\n".format("FEWIV"[int(severity)], msg))


class Profiler(Behaviour):
    def report_layer_time(self, layer_name: str, ms: float) -> None:
        sys.stdout.write("{}: {}ms\n".format(layer_name, ms))


class Dims(Behaviour):
    MAX_DIMS = 8

    def __init__(self, release: Release, shape: Any) -> None:
        super().__init__(release)
        self._shape = tuple(shape)

    def __len__(self) -> int:
        return len(self._shape)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Shape(self._shape[index])
        if not -len(self._shape) <= index < len(self._shape):
            raise IndexError("Out of bounds")
        return self._shape[index]

    def __eq__(self, other: Any) -> bool:
        return self._shape == (other._shape if isinstance(other, Dims) else tuple(other))

    def __repr__(self) -> str:
        return str(self._shape)

    __str__ = __repr__


class Runtime(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {
        "DLA_core": -1,
        "engine_host_code_allowed": False,
        "error_recorder": None,
        "gpu_allocator": None,
        "max_threads": 1,
        "tempfile_control_flags": 3,
        "temporary_directory": "",
    }

    def __init__(self, release: Release, logger: Any) -> None:
        super().__init__(release)
        require_gpu(release, logger)
        self.logger = logger
        self.num_DLA_cores = release.settings.dla_cores

    def deserialize_cuda_engine(self, content: bytes) -> Optional[ICudaEngine]:
        try:
            plan = read_plan(content)
        except DamagedPlanError as error:
            return self._refuse("Error Code 1: Serialization ({})".format(error))
        here, got = self.release.facts.release, tuple(self.release.settings.compute_capability)
        if plan.release != here and not self._is_compatible(plan):
            text = (
                "Error Code 1: Serialization (Serialization assertion stdVersionRead == serializationVersion "
                "failed.Version tag does not match. Note: Current Version: {}, Serialized Engine Version: {})"
            )
            return self._refuse(text.format(here, plan.release))
        reaches = plan.hardware_compatibility == "AMPERE_PLUS" and got >= (8, 0)
        if plan.compute_capability != got and not reaches:
            text = (
                "Error Code 6: API Usage Error (The engine plan file is generated on an incompatible device, "
                "expecting compute {}.{} got compute {}.{}, please rebuild.)"
            )
            return self._refuse(text.format(*(got + plan.compute_capability)))
        if plan.gpu_name != self.release.settings.gpu_name:
            text = (
                "Using an engine plan file across different models of devices is not recommended and is "
                "likely to affect performance or even cause errors."
            )
            self.release.log(self.logger, "WARNING", text)
        return ICudaEngine(self.release, plan, self.logger)

    def _is_compatible(self, plan: Plan) -> bool:
        """A version-compatible plan loads in later releases of its major version, if its code may run."""
        made = tuple(map(int, plan.release.split(".")))
        here = tuple(map(int, self.release.facts.release.split(".")))
        allowed = "VERSION_COMPATIBLE" in plan.flags and self.engine_host_code_allowed
        return allowed and made[0] == here[0] and made <= here

    def _refuse(self, text: str) -> None:
        self.release.log(self.logger, "ERROR", "[runtime.cpp::deserializeCudaEngine] " + text)
