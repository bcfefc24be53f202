"""What the fake TensorRT of a release has: the recorded facts, and what they leave out, in one place.

tensorrt_api.json was read from NVIDIA's open-source pybind definitions. It has no constructors, defaults,
inheritance, module functions or enum numbers; they stand here, each with its source:

* [bindings] the real ``tensorrt_rtx_bindings`` 1.7.1 from PyPI (docstrings, behaviour tried without a GPU)
* [init] ``__init__.py`` of the same package, whose functions go back to TensorRT 7
* [pybind] ``python/src`` of github.com/NVIDIA/TensorRT, release/8.2 and later
"""

import functools
import json
import os
from typing import Any, Dict, FrozenSet, Iterable, List, NamedTuple, Tuple

_HERE = os.path.dirname(os.path.abspath(__file__))


class Member(NamedTuple):
    """One method, property or enum value; ``arguments`` and their ``defaults`` are a method's."""

    kind: str
    arguments: List[str]
    defaults: Dict[str, Any]


# [bindings] __init__ docstrings; [pybind] the same in 8.2. Classes without an entry have no constructor.
CONSTRUCTORS: Dict[str, List[str]] = {
    "Builder": ["logger"],
    "Dims": ["shape"],
    "IGpuAllocator": [],
    "IInt8EntropyCalibrator2": [],
    "ILogger": [],
    "IOutputAllocator": [],
    "IProfiler": [],
    "IProgressMonitor": [],
    "Logger": ["min_severity"],
    "OnnxParser": ["network", "logger"],
    "Profiler": [],
    "Runtime": ["logger"],
}

# [bindings] mro
BASES = {"Logger": "ILogger", "Profiler": "IProfiler", "IInt8EntropyCalibrator2": "IInt8Calibrator"}

# Interfaces whose methods the caller's subclass provides. [bindings]
INTERFACES = frozenset(
    [
        "ILogger",
        "IProfiler",
        "IProgressMonitor",
        "IInt8EntropyCalibrator2",
        "IGpuAllocator",
        "IOutputAllocator",
    ]
)

# Defaults of arguments. [bindings] docstrings; the executes that ended with 8: [pybind] infer/pyCore.cpp
OPTIONAL: Dict[str, Dict[str, Any]] = {
    "Builder.create_network": {"flags": 0},
    "ICudaEngine.create_execution_context": {"strategy": None},
    "IExecutionContext.execute": {"batch_size": 1},
    "IExecutionContext.execute_async": {"batch_size": 1, "input_consumed": None},
    "IExecutionContext.execute_async_v2": {"input_consumed": None},
    "Logger.__init__": {"min_severity": None},
    "OnnxParser.load_model_proto": {"path": None},
    "OnnxParser.parse": {"path": None},
    "OnnxParser.supports_model": {"path": None},
    "OnnxParser.supports_model_v2": {"path": None},
}

# Methods whose arguments have no names in the definitions. [bindings] docstrings
UNNAMED = {
    "Dims.__eq__": ["other"],
    "Dims.__getitem__": ["index"],
    "ICudaEngine.__getitem__": ["index"],
    "ICudaEngine.serialize_with_config": ["config"],
    "INetworkDefinition.__getitem__": ["index"],
}

# Context managers, which tensorrt/__init__.py adds. [init]
CONTEXT_MANAGERS = (
    "Builder",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "ILogger",
    "INetworkDefinition",
    "OnnxParser",
    "Runtime",
)

# Lost where the definitions were read: from 10 on they hang it on the enum nested in ILogger. [bindings]
LOGGER_LOG = Member("method", ["severity", "msg"], {})

# From 10.0 a context may be asked for with a memory strategy. [pybind] 10.x, [bindings]
CREATE_CONTEXT = "ICudaEngine.create_execution_context"

# Functions and names at the top of the module. [init]; aliases of DataType: [pybind] infer/pyCore.cpp
FUNCTIONS = ("init_libnvinfer_plugins", "get_plugin_registry", "nptype", "volume")
ALIASES = {
    "bool": "BOOL", "float16": "HALF", "float32": "FLOAT", "int32": "INT32", "int8": "INT8", "uint8": "UINT8",
    "fp8": "FP8", "bfloat16": "BF16", "int64": "INT64", "int4": "INT4", "fp4": "FP4", "e8m0": "E8M0",
}  # fmt: skip

# Nested in ILogger and not at the top of the module. [bindings]
NESTED = frozenset(["Severity"])

# [bindings] __members__; EXPLICIT_BATCH, FP16, INT8: NvInfer.h of 8.2. Enums and members that are not here
# get numbers in the order of their names: code must not count on a number.
NUMBERS: Dict[str, Dict[str, int]] = {
    "BuilderFlag": {"FP16": 0, "INT8": 1, "DEBUG": 2, "GPU_FALLBACK": 3},
    "DataType": {
        "FLOAT": 0, "HALF": 1, "INT8": 2, "INT32": 3, "BOOL": 4, "UINT8": 5, "FP8": 6, "BF16": 7, "INT64": 8,
        "INT4": 9, "FP4": 10, "E8M0": 11,
    },
    "DeviceType": {"GPU": 0, "DLA": 1},
    "HardwareCompatibilityLevel": {"NONE": 0, "AMPERE_PLUS": 1, "SAME_COMPUTE_CAPABILITY": 2},
    "LayerInformationFormat": {"ONELINE": 0, "JSON": 1},
    "MemoryPoolType": {"WORKSPACE": 0},
    "NetworkDefinitionCreationFlag": {"EXPLICIT_BATCH": 0, "EXPLICIT_PRECISION": 1, "STRONGLY_TYPED": 1},
    "ProfilingVerbosity": {"LAYER_NAMES_ONLY": 0, "DEFAULT": 0, "NONE": 1, "DETAILED": 2, "VERBOSE": 2},
    "Severity": {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4},
    "TensorIOMode": {"NONE": 0, "INPUT": 1, "OUTPUT": 2},
}  # fmt: skip

# The parser that stands for a release in the table of operators.
PARSERS = {"8.2": "8.2", "8.5": "8.5", "8.6": "8.6", "10.3": "10.1"}


class Facts(NamedTuple):
    """What one release has: class → member → how it is called."""

    release: str
    classes: Dict[str, Dict[str, Member]]
    enums: Dict[str, Dict[str, int]]
    functions: FrozenSet[str]
    opset: int
    operators: Dict[str, List[str]]

    @property
    def number(self) -> Tuple[int, int]:
        major, minor = self.release.split(".")[:2]
        return int(major), int(minor)


@functools.lru_cache(maxsize=None)
def _read(name: str) -> Dict[str, Any]:
    with open(os.path.join(_HERE, name), encoding="utf-8") as file:
        content: Dict[str, Any] = json.load(file)
    return content


def releases() -> List[str]:
    """The releases that there are facts of, oldest first."""
    listed: List[str] = _read("tensorrt_api.json")["releases"]
    return listed


def load_facts(release: str, without: Iterable[str] = ()) -> Facts:
    """Everything a release has, less the members named in ``without`` (``Class.member``, class or function).

    Raises:
        KeyError: no facts of that release; or it lacks what ``without`` names.
    """
    if release not in releases():
        raise KeyError("no facts of TensorRT {}; there are {}".format(release, ", ".join(releases())))
    classes: Dict[str, Dict[str, Member]] = {}
    enums: Dict[str, Dict[str, int]] = {}
    for name, described in sorted(_read("tensorrt_api.json")["classes"].items()):
        if release not in described["in"].split():
            continue
        members = {
            member: entry
            for member, entries in described["members"].items()
            for entry in entries
            if release in entry["in"].split()
        }
        if described["kind"] == "enum":
            enums[name] = _numbered(name, [key for key, entry in members.items() if entry["kind"] == "value"])
        else:
            listed = {key: _member(release, name, key, entry) for key, entry in members.items()}
            classes[name] = _with_added(name, listed)
    functions = set(FUNCTIONS) | {"__version__"}
    _remove(classes, enums, functions, without)
    table = _read("tensorrt_operators.json")[PARSERS.get(".".join(release.split(".")[:2]), "main")]
    operators = {name: types.split() for name, types in table["supported"].items()}
    return Facts(release, classes, enums, frozenset(functions), table["opset"], operators)


def _member(release: str, owner: str, name: str, entry: Dict[str, Any]) -> Member:
    full = "{}.{}".format(owner, name)
    arguments = list(entry.get("args", [])) or UNNAMED.get(full, [])
    if full == CREATE_CONTEXT and int(release.split(".")[0]) >= 10:
        arguments = ["strategy"]
    defaults = OPTIONAL.get(full, {})
    return Member(entry["kind"], arguments, {key: defaults[key] for key in arguments if key in defaults})


def _with_added(owner: str, members: Dict[str, Member]) -> Dict[str, Member]:
    if owner == "ILogger":
        members["log"] = LOGGER_LOG
    if owner in CONTEXT_MANAGERS:
        members["__enter__"] = Member("method", [], {})
        members["__exit__"] = Member("method", ["kind", "error", "trace"], {})
    if owner in CONSTRUCTORS:
        defaults = OPTIONAL.get(owner + ".__init__", {})
        members["__init__"] = Member("method", CONSTRUCTORS[owner], defaults)
    return members


def _numbered(enum: str, names: List[str]) -> Dict[str, int]:
    known = NUMBERS.get(enum, {})
    free = (number for number in range(100) if number not in known.values())
    return {name: known[name] if name in known else next(free) for name in sorted(names)}


def _remove(
    classes: Dict[str, Dict[str, Member]],
    enums: Dict[str, Dict[str, int]],
    functions: Any,
    without: Iterable[str],
) -> None:
    for full in without:
        owner, _, member = full.partition(".")
        if member:
            del (classes[owner] if owner in classes else enums[owner])[member]
        elif owner in functions:
            functions.remove(owner)
        else:
            del (classes if owner in classes else enums)[owner]
