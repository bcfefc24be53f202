"""The devices whose ONNX parser the lint knows, as data: which TensorRT each has, and what it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from legoclf.errors import UsageError

_TABLE_FILE = Path(__file__).parent / "onnx_operators.json"


@dataclass(frozen=True)
class Target:
    """A device, or a family of them, with one ONNX parser.

    Attributes:
        name: what ``--target`` calls it.
        device: what it stands for, to be read by people.
        tensorrt: its release; cuda and python: the versions that come with it.
        table: the release in ``onnx_operators.json`` that describes its parser.
        ir_version: the newest IR that its parser was built with.
        int64: whether INT64 is a type of its own; before TensorRT 9 the parser cast it to INT32.
        uint8_ends: whether a network's inputs and outputs may be UINT8 (from TensorRT 8.5).
        strongly_typed: whether every layer computes in the type that the graph gives it, always.
    """

    name: str
    device: str
    tensorrt: str
    cuda: str
    python: str
    table: str
    ir_version: int
    int64: bool
    uint8_ends: bool
    strongly_typed: bool = False

    @property
    def opset(self) -> int:
        """The newest opset that its parser takes."""
        opset: int = _tables()["opset"][self.table]
        return opset

    def types(self, operator: str) -> tuple[str, ...] | None:
        """The types that its parser takes for an operator, such as ``FP16``; None where it has no such."""
        entry: Mapping[str, list[str]] = _tables()["operators"].get(operator, {})
        return tuple(entry[self.table]) if self.table in entry else None


# IR versions: of the ONNX release that docs/Changelog.md of onnx-tensorrt names (1.8, 1.12, 1.16, 1.17).
_TARGETS = (
    Target("jetpack4", "JetPack 4.6", "8.2.1", "10.2", "3.6", "8.2", 7, False, False),
    Target("jetpack5", "JetPack 5.1", "8.5.2", "11.4", "3.8", "8.5", 8, False, True),
    Target("jetpack6", "JetPack 6.1 and 6.2", "10.3", "12.6", "3.10", "10.1", 10, True, True),
    Target("jetpack7", "JetPack 7.2", "10.16", "13.2", "3.12", "main", 10, True, True),
    Target("rtx", "TensorRT for RTX", "RTX 1.7", "12", "3", "main", 10, True, True, strongly_typed=True),
)
TARGETS: Mapping[str, Target] = {target.name: target for target in _TARGETS}


def find_target(name: str) -> Target:
    """The target of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in TARGETS:
        raise UsageError(f"--target {name}: no such target; known are {', '.join(TARGETS)}")
    return TARGETS[name]


@cache
def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = json.loads(_TABLE_FILE.read_text(encoding="utf-8"))
    return tables
