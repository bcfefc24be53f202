"""What a bundle's model takes, and how fast each board and this machine could run it at best.

    legoclf benchmark roofline [BUNDLE] [--precision fp16] [--batch 1]
    legoclf benchmark roofline [BUNDLE] --board jetson-nano [--gpu_mhz 640]

FLOPs and bytes are counted from the ONNX file; a multiply-add is 2 FLOPs. The peaks of the boards are those
of boards.json; this machine's CPU is measured in a few seconds, in FP32. The bound of the whole graph moves
every weight, the input and the output once; layer by layer, what lies between the layers goes through memory
too. A Jetson's memory has a clock of its own, which --gpu_mhz leaves as it is.
"""

import argparse
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence

from legoclf.benchmarks.device.emit import add_output_flags, check_output_flags, emit, number
from legoclf.errors import UsageError, check_range

if TYPE_CHECKING:
    from legoclf.benchmarks.device.boards import Board
    from legoclf.benchmarks.device.onnx_cost import Cost
    from legoclf.benchmarks.device.peak import Peak
    from legoclf.benchmarks.device.roofline import Roofline

PRECISIONS = ("fp32", "fp16", "int8")
_DEFAULT_PRECISION = "fp16"
_MOST_BATCH = 1024
_COSTLIEST = 10


class Machine(NamedTuple):
    """One row of the table; ``roofline`` is None where the peak of that precision is not known."""

    key: str
    name: str
    precision: str
    roofline: "Optional[Roofline]"
    cost: "Cost"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark roofline`."""
    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument("--board", metavar="NAME", help="one of boards.json, such as jetson-nano (all of it)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=_DEFAULT_PRECISION,
        help="on the boards ({}); this machine's CPU is measured in fp32".format(_DEFAULT_PRECISION),
    )
    parser.add_argument("--batch", type=int, default=1, help="images at once (1)")
    parser.add_argument(
        "--gpu_mhz", type=float, help="the clock that --board ran at; the peak follows it (its highest)"
    )
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Count, measure the peak here, and print."""
    from legoclf.benchmarks.device.boards import load_boards
    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.peak import measure_peak
    from legoclf.benchmarks.device.result import Result
    from legoclf.bundle import ONNX_MODEL, Bundle, find_bundle

    check_output_flags(args)
    check_range("--batch", args.batch, 1, _MOST_BATCH)
    boards = choose_boards(load_boards(), args.board, args.gpu_mhz)
    onnx_path = Bundle.open(find_bundle(args.bundle)).file(ONNX_MODEL)
    with Watch(args.command_line) as watch:
        peak = measure_peak()
    facts = facts_of(onnx_path, boards, peak, args.precision, args.batch, args.gpu_mhz)
    emit(Result("roofline", watch.header(), peak.rates, [], facts), args)
    return 0


def choose_boards(
    boards: "Dict[str, Board]", wanted: Optional[str], gpu_mhz: Optional[float]
) -> "List[Board]":
    """The boards that the flags mean.

    Raises:
        UsageError: there is no such board, or a clock is given for none or beyond its highest.
    """
    if wanted is not None and wanted not in boards:
        raise UsageError("--board: no board {!r}, expected one of {}".format(wanted, ", ".join(boards)))
    chosen = list(boards.values()) if wanted is None else [boards[wanted]]
    if gpu_mhz is not None:
        if wanted is None:
            raise UsageError("--gpu_mhz is the clock of one board: name it with --board")
        highest = chosen[0].figures["gpu_mhz_max"]
        check_range("--gpu_mhz", gpu_mhz, 1, 1.01 * highest if highest is not None else float("inf"))
    return chosen


def facts_of(
    onnx_path: str,
    boards: "Sequence[Board]",
    peak: "Peak",
    precision: str,
    batch: int,
    gpu_mhz: Optional[float] = None,
) -> Dict[str, Any]:
    """What a result tells beside the samples: a roofline for each board, and for "here"; notes for people.

    Args:
        peak: of this machine's CPU. precision: on the boards. gpu_mhz: the boards' clock; None: the highest.

    Raises:
        LegoclfError: the shapes of the graph cannot be told.
    """
    from legoclf.benchmarks.device.onnx_cost import read_cost
    from legoclf.benchmarks.device.roofline import layer_bounds, roofline

    cost = read_cost(onnx_path, precision, batch)
    here_cost = read_cost(onnx_path, "fp32", batch)
    here = roofline(here_cost, peak.gflops, peak.bandwidth_gb_s)
    machines = [_on_board(board, cost, gpu_mhz) for board in boards]
    machines.append(Machine("here", "this machine's CPU", "fp32", here, here_cost))
    # The costliest layers are those of the first board whose peaks are known, else those of this machine.
    shown = next(machine for machine in machines if machine.roofline is not None)
    reference = shown.roofline or here
    bounds = layer_bounds(shown.cost.layers, reference.peak_gflops, reference.bandwidth_gb_s)
    costliest = sorted(bounds, key=lambda bound: -bound.ms)[:_COSTLIEST]
    return {
        "rooflines": {
            machine.key: None if machine.roofline is None else machine.roofline.as_json()
            for machine in machines
        },
        "peak_work": peak.work,
        "gpu_mhz": gpu_mhz,
        "sources": {board.key: board.sources for board in boards},
        "costliest": {
            "machine": shown.key,
            "layers": [
                dict(bound.layer._asdict(), bound_ms=bound.ms, binds=bound.binds) for bound in costliest
            ],
        },
        "notes": peak.lines() + _notes(machines, shown, costliest),
    }


def _on_board(board: "Board", cost: "Cost", gpu_mhz: Optional[float]) -> Machine:
    from legoclf.benchmarks.device.roofline import roofline

    gflops, bandwidth = board.peak_gflops(cost.precision, gpu_mhz), board.bandwidth_gb_s
    found = None if gflops is None or bandwidth is None else roofline(cost, gflops, bandwidth)
    name = board.name if gpu_mhz is None else "{} at {:g} MHz".format(board.name, gpu_mhz)
    return Machine(board.key, name, cost.precision, found, cost)


def _notes(machines: Sequence[Machine], shown: Machine, costliest: Sequence[Any]) -> List[str]:
    cost = shown.cost
    lines = [
        "one run at batch {}: {:.1f} M multiply-adds, {:.3f} GFLOP (a multiply-add is 2)".format(
            cost.batch, cost.multiply_adds / 1e6, cost.flops / 1e9
        )
    ]
    lines += [_machine_line(machine) for machine in machines]
    lines.append("the costliest layers, least time on {}, {}:".format(shown.name, shown.precision))
    for bound in costliest:
        layer = bound.layer
        lines.append(
            "{} ({}) to {}: {:.1f} MFLOP, {:.2f} MB, {} ms, {} binds".format(
                layer.name,
                "+".join(layer.operators),
                "x".join(str(size) for size in layer.shape),
                layer.flops / 1e6,
                layer.bytes / 1e6,
                number(bound.ms),
                bound.binds,
            )
        )
    if cost.unknown:
        lines.append("not counted, of unknown operators: the FLOPs of " + ", ".join(cost.unknown))
    return lines


def _machine_line(machine: Machine) -> str:
    found = machine.roofline
    if found is None:
        return "{}, {}: the peak is not known for this board".format(machine.name, machine.precision)
    return (
        "{}, {}: {} ms at least ({} binds), {} ms layer by layer; {:.0f} GFLOP/s, {:.1f} GB/s; "
        "{:.2f} MB, {:.0f} FLOP/byte"
    ).format(
        machine.name,
        machine.precision,
        number(found.bound_ms),
        found.binds,
        number(found.layers_ms),
        found.peak_gflops,
        found.bandwidth_gb_s,
        found.least_bytes / 1e6,
        found.intensity,
    )
