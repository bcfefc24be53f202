"""The peaks of the boards that models are made for: boards.json, with the source of each. Python 3.6."""

import json
import pkgutil
import re
from typing import Any, Dict, NamedTuple, Optional

_FIGURES = ("gpu_mhz_max", "fp32_gflops", "fp16_gflops", "tf32_gflops", "int8_gops", "memory_gb_s")

#: Which figures count for a precision. TensorRT multiplies FP32 in TF32 where the GPU has it.
_RATES = {"fp32": ("fp32_gflops", "tf32_gflops"), "fp16": ("fp16_gflops",), "int8": ("int8_gops",)}

#: sysfs tells clocks that differ a little from the published ones (624.75 MHz, 1109.25 MHz).
_CLOCK_TOLERANCE = 0.01

#: The kernel and the GPU's firmware keep part of the memory for themselves.
_LEAST_MEMORY_SHARE = 0.75


class Board(NamedTuple):
    """One board.

    key: its name in boards.json. figures: by the names there, with units; None where it is not known.
    sources: where each figure comes from. device_tree: what names the board in its device tree.
    """

    key: str
    name: str
    gpu: str
    memory_gb: float
    device_tree: str
    figures: Dict[str, Optional[float]]
    sources: Dict[str, str]

    def peak_gflops(self, precision: str, gpu_mhz: Optional[float] = None) -> Optional[float]:
        """Most FLOPs (INT8: operations) a nanosecond on the GPU; None where it is not known.

        Args:
            precision: "fp32", "fp16" or "int8".
            gpu_mhz: the clock that was running; None for the board's highest. The peak follows it.
        """
        known = [
            figure for figure in (self.figures[name] for name in _RATES[precision]) if figure is not None
        ]
        highest = self.figures["gpu_mhz_max"]
        if not known or gpu_mhz is None:
            return max(known) if known else None
        return None if highest is None else max(known) * gpu_mhz / highest

    @property
    def bandwidth_gb_s(self) -> Optional[float]:
        """Most bytes a nanosecond from memory. The GPU's clock does not move it, the memory has its own."""
        return self.figures["memory_gb_s"]


def load_boards() -> Dict[str, Board]:
    """Every board of boards.json, by key."""
    # Not by its path: the package may lie in a zip.
    content = pkgutil.get_data("legoclf.benchmarks.device", "boards.json")
    assert content is not None
    return {key: _board(key, record) for key, record in json.loads(content.decode("utf-8")).items()}


def find_board(
    device_tree_model: Optional[str],
    gpu_mhz_max: Optional[float] = None,
    ram_total_mib: Optional[float] = None,
) -> Optional[Board]:
    """The board that a device tree names; None for any other machine.

    An Orin Nano is a Super by the clock that its power mode allows, as that goes with the faster memory; by
    its name where the clock is not known.

    Args:
        device_tree_model: such as "NVIDIA Jetson Nano Developer Kit", of /proc/device-tree/model.
        gpu_mhz_max: the highest GPU clock that the power mode allows.
        ram_total_mib: to tell a module with less memory, which has another GPU too; None if not known.
    """
    fitting = [
        board
        for board in load_boards().values()
        if device_tree_model and re.search(board.device_tree, device_tree_model)
    ]
    # The 4 GB Orin Nano has half the GPU; the 2 GB Nano has the whole one.
    if "Orin" in (device_tree_model or "") and ram_total_mib is not None:
        fitting = [
            board for board in fitting if ram_total_mib >= board.memory_gb * 1024 * _LEAST_MEMORY_SHARE
        ]
    if not fitting:
        return None
    ranked = sorted(fitting, key=_highest_mhz)
    if gpu_mhz_max is None:
        return ranked[-1 if "Super" in (device_tree_model or "") else 0]
    reached = [board for board in ranked if gpu_mhz_max <= _highest_mhz(board) * (1 + _CLOCK_TOLERANCE)]
    return reached[0] if reached else ranked[-1]


def _highest_mhz(board: Board) -> float:
    return board.figures["gpu_mhz_max"] or 0.0


def _board(key: str, record: Dict[str, Any]) -> Board:
    return Board(
        key,
        record["name"],
        record["gpu"],
        record["memory_gb"],
        record["device_tree"],
        {name: record[name]["value"] for name in _FIGURES},
        {name: record[name]["source"] for name in _FIGURES},
    )
