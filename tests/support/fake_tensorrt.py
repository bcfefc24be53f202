"""A TensorRT that needs no GPU, for tests: strict as the real one of a release, running ONNX in ONNX Runtime.

:func:`fake_tensorrt` gives what ``import tensorrt`` would; :func:`write_site` a folder for PYTHONPATH where
``import tensorrt`` finds it. What each release has comes from facts (fake_tensorrt_facts); what it does was
tried on the real builder of TensorRT for RTX where that runs without a GPU.
"""

import json
import os
import types
from typing import Any, Dict, Iterable, List, Optional, Set

import fake_tensorrt_build
import fake_tensorrt_config
import fake_tensorrt_context
import fake_tensorrt_engine
import fake_tensorrt_network
import fake_tensorrt_run
import numpy as np
from fake_tensorrt_facade import Behaviour, Release
from fake_tensorrt_facts import ALIASES, NESTED, load_facts, releases
from fake_tensorrt_onnx import NUMPY
from fake_tensorrt_plan import Plan, read_plan

__all__ = ["RELEASES", "FakeSettings", "Plan", "fake_tensorrt", "read_plan", "write_site"]

RELEASES = releases()

_BEHAVIOURS = {
    one.__name__: one
    for module in (
        fake_tensorrt_build,
        fake_tensorrt_config,
        fake_tensorrt_context,
        fake_tensorrt_engine,
        fake_tensorrt_network,
        fake_tensorrt_run,
    )
    for one in vars(module).values()
    if isinstance(one, type) and issubclass(one, Behaviour) and one.__module__ == module.__name__
}


class FakeSettings:
    """The machine and its moods; unknown names are refused.

    Attributes:
        gpu_name, compute_capability, dla_cores, fast_fp16, fast_int8: the GPU.
        no_gpu: CUDA does not start: neither builder nor runtime can be made.
        log_build: log lines as NVIDIA's builder does.
        build_fails: the builder gives None. kill_build: the building process dies of SIGKILL.
        build_seconds: how long a build takes.
        workspace_needed: bytes; a smaller workspace finds no implementation.
        context_fails: create_execution_context gives None. execute_fails: executing gives False.
        latency_ms: what an inference takes, by precision (fp32, fp16, int8, typed): of the fake CUDA's clock,
            or really slept where the CUDA is another.
        reverse_bindings: outputs come before inputs, last first: order means nothing.
    """

    gpu_name = "NVIDIA Tegra X1"
    compute_capability = (5, 3)
    dla_cores = 0
    fast_fp16 = True
    fast_int8 = False
    no_gpu = False
    log_build = True
    build_fails = False
    kill_build = False
    build_seconds = 0.0
    workspace_needed = 0
    context_fails = False
    execute_fails = False
    latency_ms: Optional[Dict[str, float]] = None
    reverse_bindings = False

    def __init__(self, **settings: Any) -> None:
        for name, value in settings.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(type(self), name):
            raise AttributeError("the fake TensorRT has no setting {}".format(name))
        super().__setattr__(name, value)


class FakeModule(types.ModuleType):
    """What ``import tensorrt`` gives; ``settings`` and ``used`` are the fake's own.

    ``used``: the members touched so far, as ``Class.member`` or ``Enum.MEMBER``.
    """

    settings: FakeSettings
    used: Set[str]


def fake_tensorrt(release: str, without: Iterable[str] = (), **settings: Any) -> Any:
    """TensorRT of a release.

    Args:
        release: one of RELEASES.
        without: members to leave out, as ``ICudaEngine.get_tensor_name``, ``BuilderFlag.FP16``,
            ``IProgressMonitor`` or ``nptype``; KeyError where the release has no such member.
        settings: of :class:`FakeSettings`.
    """
    made = Release(load_facts(release, without), FakeSettings(**settings))
    made.build_classes(_BEHAVIOURS)
    module = FakeModule("tensorrt")
    module.settings, module.used = made.settings, made.used
    names: Dict[str, Any] = dict(made.classes)
    names.update((name, enum) for name, enum in made.enums.items() if name not in NESTED)
    names.update(_functions(made))
    for alias, dtype in ALIASES.items():
        if made.has("DataType." + dtype):
            names[alias] = made.enum("DataType." + dtype)
    for name, value in names.items():
        setattr(module, name, value)
    return module


def _functions(made: Release) -> Dict[str, Any]:
    def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
        made.used.add("init_libnvinfer_plugins")
        if not isinstance(namespace, str):
            raise TypeError("init_libnvinfer_plugins(): incompatible function arguments.")
        return True

    def get_plugin_registry() -> Any:
        return types.SimpleNamespace(plugin_creator_list=[])

    def volume(iterable: Iterable[int]) -> int:
        made.used.add("volume")
        product = 1
        for size in iterable:
            product *= size
        return product

    def nptype(trt_type: Any) -> Any:
        made.used.add("nptype")
        # TensorRT 8 asks for np.bool whatever the type is, and NumPy 1.24 has none.
        known = dict(NUMPY, BOOL=np.bool_ if made.facts.number >= (10, 0) else np.bool)
        if trt_type.name not in known:
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return known[trt_type.name]

    found = {
        "init_libnvinfer_plugins": init_libnvinfer_plugins,
        "get_plugin_registry": get_plugin_registry,
        "volume": volume,
        "nptype": nptype,
        "__version__": made.facts.release,
    }
    return {name: value for name, value in found.items() if name in made.facts.functions}


def write_site(folder: Any, release: str, without: Iterable[str] = (), **settings: Any) -> None:
    """Write ``tensorrt.py`` into a folder: with the folder on PYTHONPATH a child process gets the fake.

    Args: as of :func:`fake_tensorrt`; settings must be JSON's.
    """
    FakeSettings(**settings)
    support = os.path.dirname(os.path.abspath(__file__))
    call = json.dumps({"release": release, "without": list(without), "settings": settings})
    lines: List[str] = [
        '"""TensorRT, fake: written by write_site."""',
        "import json, sys",
        "sys.path.insert(0, {!r})".format(support),
        "import fake_tensorrt",
        "call = json.loads({!r})".format(call),
        "sys.modules[__name__] = fake_tensorrt.fake_tensorrt(",
        '    call["release"], call["without"], **call["settings"])',
        "",
    ]
    with open(os.path.join(str(folder), "tensorrt.py"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
