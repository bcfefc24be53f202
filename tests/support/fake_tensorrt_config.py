"""The fake TensorRT's build configuration, its optimisation profiles and its timing cache."""

import json
from typing import Any, ClassVar, Dict, List, Optional

from fake_tensorrt_facade import Behaviour, Release, Shape
from fake_tensorrt_network import ILayer

# What a DLA runs; the rest falls back to the GPU where that is allowed.
_ON_DLA = frozenset(
    ["Add", "AveragePool", "Clip", "Concat", "Conv", "GlobalAveragePool", "MaxPool", "Mul", "Relu", "Sub"]
)


class IOptimizationProfile(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {"extra_memory_target": 1.0}

    def __init__(self, release: Release, logger: Any) -> None:
        super().__init__(release)
        self._logger = logger
        self.shapes: Dict[str, List[Shape]] = {}

    def set_shape(self, name: str, low: Any, opt: Any, high: Any) -> None:
        # What does not fit makes the profile invalid and raises nothing (tried on the real bindings).
        self.shapes[name] = [Shape(low), Shape(opt), Shape(high)]

    def get_shape(self, name: str) -> List[Shape]:
        return self.shapes.get(name, [])

    def __bool__(self) -> bool:
        for name, (low, opt, high) in self.shapes.items():
            same = len(low) == len(opt) == len(high)
            if not same or not all(a <= b <= c for a, b, c in zip(low, opt, high)):
                text = (
                    "IOptimizationProfile::isValid: Error Code 4: API Usage Error (Invalid optimization "
                    "profiles for input tensors {}, please ensure that they satisfy MIN<=OPT<=MAX.)"
                )
                self.release.log(self._logger, "ERROR", text.format(name))
                return False
        return True


class ITimingCache(Behaviour):
    """``entries``: a digest for each ONNX and precision timed; ``origin``: on which release and GPU."""

    def __init__(self, release: Release, content: bytes, logger: Any) -> None:
        super().__init__(release)
        self.origin = [release.facts.release, release.settings.gpu_name]
        self.entries: List[str] = []
        if content:
            try:
                stored = json.loads(content.decode())
                self.origin, self.entries = stored["origin"], stored["entries"]
            except (ValueError, KeyError, TypeError):
                text = "Failed to deserialize timing cache. Returning an empty timing cache."
                release.log(logger, "WARNING", text)

    def serialize(self) -> Any:
        return self.release.host_memory(json.dumps({"origin": self.origin, "entries": self.entries}).encode())

    def combine(self, other: "ITimingCache", ignore_mismatch: bool) -> bool:
        if other.origin != self.origin and not ignore_mismatch:
            return False
        self.entries += [one for one in other.entries if one not in self.entries]
        return True

    def reset(self) -> bool:
        self.entries = []
        return True


class IBuilderConfig(Behaviour):
    DEFAULTS: ClassVar[Dict[str, Any]] = {
        "algorithm_selector": None,
        "avg_timing_iterations": 1,
        "default_device_type": "DeviceType.GPU",
        "engine_capability": "EngineCapability.STANDARD",
        "hardware_compatibility_level": "HardwareCompatibilityLevel.NONE",
        "int8_calibrator": None,
        "l2_limit_for_tiling": 0,
        "max_aux_streams": -1,
        "max_num_tactics": -1,
        "max_workspace_size": 0,
        "min_timing_iterations": 1,
        "plugins_to_serialize": (),
        "profile_stream": 0,
        "profiling_verbosity": "ProfilingVerbosity.LAYER_NAMES_ONLY",
        "progress_monitor": None,
        "quantization_flags": 0,
        "remote_auto_tuning_config": "",
        "runtime_platform": "RuntimePlatform.SAME_AS_BUILD",
        "tiling_optimization_level": "TilingOptimizationLevel.NONE",
    }

    def __init__(self, release: Release, logger: Any) -> None:
        super().__init__(release)
        self._logger = logger
        self.reset()

    def reset(self) -> None:
        self.set_defaults()
        tf32 = self.release.enum("BuilderFlag.TF32")
        self.flags = 0 if tf32 is None else 1 << int(tf32)
        self.profiles: List[IOptimizationProfile] = []
        self._pools: Dict[Any, int] = {}
        self._level = 3
        self._dla_core = -1
        self._timing_cache: Optional[ITimingCache] = None
        self._devices: Dict[ILayer, Any] = {}
        self._preview: Dict[Any, bool] = {}
        self._tactics = 3

    @property
    def builder_optimization_level(self) -> int:
        return self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, value: int) -> None:
        # Out of range is cut to the range, without a word (tried on the real bindings).
        self._level = min(max(value, 0), 5)

    @property
    def DLA_core(self) -> int:
        return self._dla_core

    @DLA_core.setter
    def DLA_core(self, value: int) -> None:
        # A core that is not there is not taken, and nothing raises (tried on the real bindings).
        if -1 <= value < self.release.settings.dla_cores:
            self._dla_core = value

    @property
    def workspace(self) -> Optional[int]:
        """Bytes, by whichever way they were set; None where neither was."""
        pool = self.release.enum("MemoryPoolType.WORKSPACE")
        return self._pools.get(pool, self.max_workspace_size or None)

    def set_flag(self, flag: Any) -> None:
        self.flags |= 1 << int(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags &= ~(1 << int(flag))

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags & 1 << int(flag))

    def has_flag(self, name: str) -> bool:
        flag = self.release.enum("BuilderFlag." + name)
        return flag is not None and self.get_flag(flag)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[pool] = pool_size

    def get_memory_pool_limit(self, pool: Any) -> int:
        # 64 GiB is what the real one gives where there is no device to ask.
        return self._pools.get(pool, 64 << 30)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        if not profile:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    def create_timing_cache(self, content: bytes) -> ITimingCache:
        return ITimingCache(self.release, content, self._logger)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        here = [self.release.facts.release, self.release.settings.gpu_name]
        if cache.origin[0] != here[0] or (cache.origin != here and not ignore_mismatch):
            text = "Error Code 3: API Usage Error (the timing cache is of TensorRT {} on {})"
            self.release.log(self._logger, "ERROR", text.format(*cache.origin))
            return False
        self._timing_cache = cache
        return True

    def get_timing_cache(self) -> Optional[ITimingCache]:
        return self._timing_cache

    def set_tactic_sources(self, tactic_sources: int) -> bool:
        self._tactics = tactic_sources
        return True

    def get_tactic_sources(self) -> int:
        return self._tactics

    def set_preview_feature(self, feature: Any, enable: bool) -> None:
        self._preview[feature] = bool(enable)

    def get_preview_feature(self, feature: Any) -> bool:
        return self._preview.get(feature, False)

    def set_device_type(self, layer: ILayer, device_type: Any) -> None:
        self._devices[layer] = device_type

    def get_device_type(self, layer: ILayer) -> Any:
        return self._devices.get(layer, self.default_device_type)

    def is_device_type_set(self, layer: ILayer) -> bool:
        return layer in self._devices

    def reset_device_type(self, layer: ILayer) -> None:
        self._devices.pop(layer, None)

    def can_run_on_DLA(self, layer: ILayer) -> bool:
        return layer.operator in _ON_DLA
