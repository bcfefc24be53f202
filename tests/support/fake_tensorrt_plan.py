"""What a plan of the fake TensorRT holds, and its bytes."""

import hashlib
import json
import struct
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

MAGIC = b"ftrt"


class Plan(NamedTuple):
    """A built engine.

    Attributes:
        precision: "fp32", "fp16", "int8", or "typed" where the ONNX alone says it.
        flags: names of the BuilderFlags set.
        inputs, outputs: name → shape, -1 where free.
        dtypes: input or output → member of DataType.
        profiles: one dict a profile, input → [min, opt, max].
        layers: [name, member of LayerType].
        fp32_layers: nodes that the builder was told to keep in FP32, with all their layers.
        workspace: bytes; None where none was set.
        dla_core: -1 for the GPU.
    """

    onnx: bytes
    release: str
    gpu_name: str
    compute_capability: Tuple[int, int]
    precision: str
    flags: List[str]
    inputs: Dict[str, List[int]]
    outputs: Dict[str, List[int]]
    dtypes: Dict[str, str]
    profiles: List[Dict[str, Any]]
    layers: List[List[str]]
    fp32_layers: List[str]
    workspace: Optional[int]
    optimization_level: Optional[int]
    dla_core: int
    hardware_compatibility: str
    profiling_verbosity: str


class DamagedPlanError(ValueError):
    """Bytes that are no plan, or not a whole one."""


def write_plan(plan: Plan) -> bytes:
    """magic, length of the header, header (JSON), ONNX, SHA-256 of all before it."""
    header = json.dumps(dict(plan._asdict(), onnx=len(plan.onnx))).encode()
    content = MAGIC + struct.pack("<I", len(header)) + header + plan.onnx
    return content + hashlib.sha256(content).digest()


def read_plan(content: bytes) -> Plan:
    """The plan in these bytes.

    Raises:
        DamagedPlanError: they are not what :func:`write_plan` wrote.
    """
    if content[:4] != MAGIC:
        raise DamagedPlanError("Serialization assertion magicTagRead == kMAGIC_TAG failed.")
    if len(content) < 40 or hashlib.sha256(content[:-32]).digest() != content[-32:]:
        raise DamagedPlanError("Serialization assertion sizeRead == (mEnd - mCurrent) failed.")
    length = struct.unpack("<I", content[4:8])[0]
    header = json.loads(content[8 : 8 + length].decode())
    header.update(onnx=content[8 + length : -32], compute_capability=tuple(header["compute_capability"]))
    return Plan(**header)
