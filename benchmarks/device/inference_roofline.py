"""How much of the roofline each configuration reached: its compute beside the least that it could take."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from legoclf.benchmarks.device.boards import Board, find_board
from legoclf.benchmarks.device.peak import Peak
from legoclf.benchmarks.device.result import Series
from legoclf.benchmarks.device.roofline import Roofline, roofline_of
from legoclf.bundle import ONNX_MODEL, Bundle
from legoclf.errors import LegoclfError
from legoclf.jetson.device import Device

#: What ONNX Runtime on a CPU computes in, by the precision of the graph; of INT8 no peak is measured.
_ON_CPU = {"fp32": "fp32", "fp16": "fp32"}


class Peaks(NamedTuple):
    """What this machine can do at most.

    cpu: measured, for ONNX Runtime. board: for TensorRT. gpu_mhz: the GPU's clock while it ran, None where it
    is not told. Each is None where it is not known.
    """

    cpu: Optional[Peak] = None
    board: Optional[Board] = None
    gpu_mhz: Optional[float] = None


class Rooflines(NamedTuple):
    """By configuration, as JSON has it, None where no peak is known; and a line for each."""

    facts: Dict[str, Any]
    notes: List[str]


def peaks_of(cpu: Optional[Peak], device: Device, clocks: Dict[str, Any]) -> Peaks:
    """The peaks of this machine at the clock that was running.

    Args:
        clocks: of the header of a :class:`legoclf.benchmarks.device.conditions.Watch`.
    """
    board = find_board(device.model, clocks.get("gpu_max_mhz"), device.ram_total_mib)
    return Peaks(cpu, board, clocks.get("gpu_median_mhz"))


def rooflines(
    bundle: Bundle, configurations: Sequence[Dict[str, Any]], series: Sequence[Series], peaks: Peaks
) -> Rooflines:
    """Compare the median of each configuration's compute with its bound.

    Args:
        configurations: ``facts["configurations"]`` of a measurement; series: its series.
    """
    compute = {one.name: one.summary.median.value for one in series if one.name.startswith("compute, ")}
    facts: Dict[str, Any] = {}
    notes = []
    for each in configurations:
        name = each["name"]
        ms = compute.get("compute, " + name, 0.0)
        try:
            bound = _bound(bundle, each, peaks) if ms > 0 else None
        except LegoclfError as error:
            bound = None
            notes.append("roofline, {}: {}".format(name, error))
        facts[name] = None
        if bound is not None:
            facts[name] = dict(
                bound.as_json(), compute_ms=ms, share=bound.share(ms), layers_share=bound.layers_share(ms)
            )
            notes.append(_line(name, bound, ms, _machine(each, peaks)))
    unknown = [name for name, fact in facts.items() if fact is None]
    if unknown:
        notes.append("roofline: no peak is known for {}".format("; ".join(unknown)))
    return Rooflines(facts, notes)


def _bound(bundle: Bundle, configuration: Dict[str, Any], peaks: Peaks) -> Optional[Roofline]:
    """None where no peak is known. Counted from the FP32 graph, at the precision that is computed in."""
    precision = configuration["precision"]
    if configuration["backend"] == "onnxruntime":
        if peaks.cpu is None or precision not in _ON_CPU:
            return None
        precision, gflops, bandwidth = _ON_CPU[precision], peaks.cpu.gflops, peaks.cpu.bandwidth_gb_s
    else:
        if peaks.board is None:
            return None
        found = peaks.board.peak_gflops(precision, peaks.gpu_mhz), peaks.board.bandwidth_gb_s
        if found[0] is None or found[1] is None:
            return None
        gflops, bandwidth = found[0], found[1]
    return roofline_of(bundle.file(ONNX_MODEL), precision, configuration["batch"], gflops, bandwidth)


def _machine(configuration: Dict[str, Any], peaks: Peaks) -> str:
    if configuration["backend"] == "onnxruntime" or peaks.board is None:
        return "all of this machine's cores, however many an inference uses"
    if peaks.gpu_mhz is None:
        return "{} at its highest clock".format(peaks.board.name)
    return "{} at {:.0f} MHz".format(peaks.board.name, peaks.gpu_mhz)


def _line(name: str, bound: Roofline, ms: float, machine: str) -> str:
    return (
        "roofline, {}: compute takes {:.3g} ms, {:.3g} ms at least on {} ({:.0f} GFLOP/s, {:.1f} GB/s; {} "
        "binds): {:.1f} % of the roofline, {:.1f} % layer by layer"
    ).format(
        name,
        ms,
        bound.bound_ms,
        machine,
        bound.peak_gflops,
        bound.bandwidth_gb_s,
        bound.binds,
        100 * bound.share(ms),
        100 * bound.layers_share(ms),
    )
