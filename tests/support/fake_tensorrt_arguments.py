"""What the arguments and properties of the fake TensorRT take: TypeError wherever pybind11 raises it."""

import operator
from typing import Any, Dict, List, Sequence

from fake_tensorrt_facts import Member

# The kind of an argument, by its name; by Class.method:name where one name means several things; of a
# property that may also be None, by Class.property.
_KINDS: Dict[str, str] = {
    "batch_size": "int",
    "binding": "int",
    "bindings": "ints",
    "builder_config": "IBuilderConfig",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "device_type": "DeviceType",
    "dtype": "DataType",
    "feature": "PreviewFeature",
    "flags": "int",
    "format": "LayerInformationFormat",
    "index": "int",
    "input_cache": "ITimingCache",
    "layer": "ILayer",
    "layer_index": "int",
    "layer_name": "str",
    "logger": "ILogger",
    "max": "dims",
    "memory": "int",
    "min": "dims",
    "min_severity": "Severity",
    "model": "buffer",
    "msg": "str",
    "name": "str",
    "network": "INetworkDefinition",
    "op_name": "str",
    "opt": "dims",
    "pool": "MemoryPoolType",
    "pool_size": "int",
    "profile": "IOptimizationProfile",
    "profile_index": "int",
    "serialized_engine": "buffer",
    "serialized_timing_cache": "buffer",
    "severity": "Severity",
    "shape": "dims",
    "size": "int",
    "strategy": "ExecutionContextAllocationStrategy",
    "stream_handle": "int",
    "tactic_sources": "int",
    "tensor": "ITensor",
    "Dims.__getitem__:index": "any",
    "IBuilderConfig.clear_flag:flag": "BuilderFlag",
    "IBuilderConfig.get_flag:flag": "BuilderFlag",
    "IBuilderConfig.int8_calibrator": "IInt8Calibrator",
    "IBuilderConfig.progress_monitor": "IProgressMonitor",
    "IBuilderConfig.set_flag:flag": "BuilderFlag",
    "ICudaEngine.__getitem__:index": "any",
    "ICudaEngine.get_profile_shape:binding": "any",
    "ICudaEngine.serialize_with_config:config": "ISerializationConfig",
    "IExecutionContext.profiler": "IProfiler",
    "INetworkDefinition.get_flag:flag": "NetworkDefinitionCreationFlag",
    "IOptimizationProfile.get_shape:input": "str",
    "IOptimizationProfile.set_shape:input": "str",
    "ISerializationConfig.clear_flag:flag": "SerializationFlag",
    "ISerializationConfig.get_flag:flag": "SerializationFlag",
    "ISerializationConfig.set_flag:flag": "SerializationFlag",
    "ITensor.set_dynamic_range:max": "float",
    "ITensor.set_dynamic_range:min": "float",
    "ITensor.shape": "dims",
    "OnnxParser.clear_flag:flag": "OnnxParserFlag",
    "OnnxParser.get_flag:flag": "OnnxParserFlag",
    "OnnxParser.parse_from_file:model": "str",
    "OnnxParser.set_flag:flag": "OnnxParserFlag",
}


def bind(
    types: Dict[str, Any],
    owner: str,
    name: str,
    member: Member,
    args: Sequence[Any],
    keywords: Dict[str, Any],
) -> List[Any]:
    """The values of a call in the order of the facts, checked and converted.

    Args:
        types: the release's classes and enums.
        owner, name, member: whose method.
        args, keywords: as the caller gave them.

    Raises:
        TypeError: too many, too few, an unknown name, or of the wrong kind.
    """
    given = dict(zip(member.arguments, args))
    names_fit = all(key in member.arguments and key not in given for key in keywords)
    given.update(keywords)
    all_there = all(key in given or key in member.defaults for key in member.arguments)
    if len(args) > len(member.arguments) or not names_fit or not all_there:
        raise incompatible(owner, name, member.arguments, args, keywords)
    values = []
    for key in member.arguments:
        if key not in given or (key in member.defaults and given[key] is None):
            values.append(member.defaults[key])
            continue
        kind = _KINDS.get("{}.{}:{}".format(owner, name, key), _KINDS.get(key, "any"))
        try:
            values.append(_convert(types, kind, given[key]))
        except TypeError:
            raise incompatible(owner, name, member.arguments, args, keywords) from None
    return values


def property_value(types: Dict[str, Any], owner: str, name: str, current: Any, value: Any) -> Any:
    """What a property takes: its kind where one is named, else the kind of what it holds.

    Raises:
        TypeError: it takes something else.
    """
    kind = _KINDS.get("{}.{}".format(owner, name))
    try:
        if kind is not None:
            return None if value is None else _convert(types, kind, value)
        for wanted, named in ((bool, "bool"), (int, "int"), (float, "float"), (str, "str")):
            if isinstance(current, wanted):
                return _convert(types, named, value)
        if type(current).__name__ in types:
            return _convert(types, type(current).__name__, value)
    except TypeError:
        raise incompatible(owner, name, ["arg0"], [value], {}) from None
    return value


def incompatible(
    owner: str, name: str, arguments: List[str], args: Sequence[Any], keywords: Dict[str, Any]
) -> TypeError:
    """The error of a call that fits no overload, in pybind11's words."""
    message = (
        "{0}(): incompatible function arguments. The following argument types are supported:\n"
        "    1. {1}.{0}({2})\n\nInvoked with: {3}; kwargs: {4}"
    )
    shown = ", ".join(map(repr, args))
    return TypeError(message.format(name, owner, ", ".join(arguments), shown, ", ".join(sorted(keywords))))


def _convert(types: Dict[str, Any], kind: str, value: Any) -> Any:
    """One value as the C++ side would take it; TypeError where it would not."""
    if kind == "any":
        return value
    if kind == "bool":
        return bool(value)
    if kind == "int":
        return operator.index(value)
    if kind == "float":
        return float(value)
    if kind == "str":
        if not isinstance(value, (str, bytes)):
            raise TypeError(kind)
        return value.decode() if isinstance(value, bytes) else value
    if kind == "buffer":
        return bytes(memoryview(value))
    if kind in ("dims", "ints"):
        if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
            raise TypeError(kind)
        return tuple(operator.index(one) for one in value)
    if kind not in types or not isinstance(value, types[kind]):
        raise TypeError(kind)
    return value
