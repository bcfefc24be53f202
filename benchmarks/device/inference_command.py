"""Latency, throughput, accuracy and memory of a bundle on this machine.

    legoclf benchmark [BUNDLE] [--image_dir DIR]
    legoclf benchmark [BUNDLE] --backend tensorrt --precision fp32,fp16 --batch 1,4 --json

Every precision and batch is warmed up until it is steady, and then all take turns within one run, so that
their ratios hold where the machine drifts. Each step of a frame is timed (preprocess, h2d, compute, d2h,
postprocess), and the whole of it; the table tells the median, its 95 % interval, p90, p99 and the maximum.
The frames lie ready in memory. With --image_dir the accuracy on the data set's held-out images is measured
beside. The header tells the conditions, and whether the machine held still.
"""

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from legoclf.benchmarks.device.emit import add_bundle_flags, add_output_flags, check_output_flags, emit
from legoclf.errors import UsageError, check_range

if TYPE_CHECKING:
    from legoclf.benchmarks.device.configuration import Energy
    from legoclf.benchmarks.device.inference import Pace
    from legoclf.benchmarks.device.peak import Peak
    from legoclf.benchmarks.device.result import Measured
    from legoclf.benchmarks.device.runtimes import Opened
    from legoclf.bundle import Bundle
    from legoclf.jetson.frame import Frame

DEFAULT_SOURCE = "synthetic://?width=640&height=480&fps=0"
_BATCHES = "1,2,4,8"
_SHORT_TURNS, _SHORT_SECONDS, _SHORT_WARM_UP = 6, 0.3, 3.0
_TURNS, _SECONDS, _WARM_UP = 10, 1.0, 10.0

#: The board's power sensor averages, and is slow: shorter stretches are told badly.
_LEAST_ENERGY_SECONDS = 1.5

#: Releases of TensorRT whose trtexec is told of where none was measured, and where they are found.
_RELEASES = (("8.2.1", "JetPack 4.6"), ("10.3.0", "JetPack 6.1 and 6.2"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf benchmark`."""
    add_bundle_flags(parser)
    parser.add_argument(
        "--precision",
        default="auto",
        metavar="P,P|auto",
        help="fp32, fp16, int8 (auto: all whose engine fits; of ONNX Runtime fp32, and int8 if there is one)",
    )
    parser.add_argument(
        "--batch", metavar="N,N", help="regions of a frame at once ({}; with --short 1)".format(_BATCHES)
    )
    parser.add_argument(
        "--source",
        default=DEFAULT_SOURCE,
        help="where the frames come from that are classified again and again ({})".format(DEFAULT_SOURCE),
    )
    parser.add_argument("--image_dir", help="data set on whose held-out images the accuracy is measured")
    parser.add_argument(
        "--all_images", action="store_true", help="none of --image_dir was trained on: count every image"
    )
    parser.add_argument(
        "--turns", type=int, help="of each configuration; an interval needs 6 ({})".format(_TURNS)
    )
    parser.add_argument("--seconds", type=float, help="of each turn ({:g})".format(_SECONDS))
    parser.add_argument("--threads", type=int, help="of ONNX Runtime within one inference (half the cores)")
    parser.add_argument(
        "--short",
        action="store_true",
        help="batch 1 alone, {} turns of {:g} s".format(_SHORT_TURNS, _SHORT_SECONDS),
    )
    parser.add_argument(
        "--no_roofline", action="store_true", help="leave out what the machine could do at best"
    )
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from legoclf.benchmarks.device.conditions import Watch
    from legoclf.benchmarks.device.result import Result
    from legoclf.benchmarks.device.runtimes import parse_precisions
    from legoclf.bundle import Bundle, find_bundle

    check_output_flags(args)
    precisions = parse_precisions(args.precision)
    batches = parse_batches(args.batch or ("1" if args.short else _BATCHES))
    pace = pace_of(args)
    if args.all_images and not args.image_dir:
        raise UsageError("--all_images says what --image_dir holds: give --image_dir too")
    bundle = Bundle.open(find_bundle(args.bundle))
    peak = None
    with Watch(args.command_line) as watch:
        measured = _measure(args, bundle, precisions, batches, pace, watch.note_unsteady)
        if not args.no_roofline:
            peak = _cpu_peak(measured)
    header = watch.header()
    if not args.no_roofline:
        _add_rooflines(bundle, measured, peak, header["clocks"])
    emit(Result("inference", header, measured.series, measured.ratios, measured.facts), args)
    return 0


def parse_batches(text: str) -> List[int]:
    """``1,2,4`` as numbers, in their order.

    Raises:
        UsageError: one is none, is not 1 or more, or stands there twice.
    """
    parts = text.split(",")
    sizes = [int(part) for part in parts if part.isdigit()]
    if len(sizes) < len(parts) or min(sizes) < 1 or len(set(sizes)) < len(sizes):
        raise UsageError("--batch: got {!r}, expected numbers such as {}".format(text, _BATCHES))
    return sizes


def pace_of(args: argparse.Namespace) -> "Pace":
    """How long to measure, as the flags say.

    Raises:
        UsageError: a value outside its range.
    """
    from legoclf.benchmarks.device.inference import Pace

    turns, seconds = args.turns, args.seconds
    if turns is None:
        turns = _SHORT_TURNS if args.short else _TURNS
    if seconds is None:
        seconds = _SHORT_SECONDS if args.short else _SECONDS
    check_range("--turns", turns, 1, 1000)
    check_range("--seconds", seconds, 0.001, 3600)
    return Pace(turns, seconds, _SHORT_WARM_UP if args.short else _WARM_UP)


def _measure(
    args: argparse.Namespace,
    bundle: "Bundle",
    precisions: Optional[Sequence[str]],
    batches: Sequence[int],
    pace: "Pace",
    unsteady: Any,
) -> "Measured":
    """Everything, in the order in which it is measured."""
    from legoclf.benchmarks.device.accuracy import held_out, recorded_note
    from legoclf.benchmarks.device.inference import measure, read_frames
    from legoclf.benchmarks.device.memory import MemoryLog, memory_note
    from legoclf.benchmarks.device.runtimes import FP16_ON_CPU, open_runtimes

    images = held_out(bundle, args.image_dir, args.all_images) if args.image_dir else None
    frames = read_frames(args.source)
    notes: List[str] = []
    with ExitStack() as stack:
        memory = stack.enter_context(MemoryLog(args.backend != "onnxruntime"))
        opened = open_runtimes(
            bundle, stack, args.backend, precisions, args.threads, notes.append, memory.note
        )
        measured = measure(opened, batches, frames, pace, energy_meter(), unsteady)
        measured.facts["memory_mb"] = memory.facts()
        if images is None:
            notes.append(recorded_note(bundle))
        else:
            measured.series.extend(_accuracy(opened, images, notes))
    if any(one.backend == "onnxruntime" and one.precision == "fp16" for one in opened):
        notes.append(FP16_ON_CPU)
    notes.append(memory_note(measured.facts["memory_mb"]))
    measured.facts["frames"] = _frames_fact(frames, args.source)
    measured.facts["trtexec"] = _trtexec(bundle, opened, batches)
    notes += _trtexec_notes(measured.facts["trtexec"])
    notes = [_frames_note(measured.facts["frames"]), *measured.facts["notes"], *notes]
    # Said once, though each network says it.
    measured.facts["notes"] = sorted(set(notes), key=notes.index)
    return measured


def energy_meter() -> "Optional[Energy]":
    """What measures watts here; None on a machine that does not tell them."""
    from legoclf.jetson.telemetry_energy import EnergyMeter

    if not EnergyMeter().is_told:
        return None

    def run_metered(work: Any, seconds: float) -> Any:
        with EnergyMeter() as meter:
            rate = work(max(seconds, _LEAST_ENERGY_SECONDS))
        return rate, meter.mean_w

    return run_metered


def _cpu_peak(measured: "Measured") -> "Optional[Peak]":
    """What the CPU can do at most, its samples put among the others; None where no network runs on it."""
    from legoclf.benchmarks.device.peak import measure_peak

    if not any(each["backend"] == "onnxruntime" for each in measured.facts["configurations"]):
        return None
    peak = measure_peak()
    measured.series.extend(peak.rates)
    return peak


def _add_rooflines(
    bundle: "Bundle", measured: "Measured", peak: "Optional[Peak]", clocks: Dict[str, Any]
) -> None:
    from legoclf.benchmarks.device.inference_roofline import peaks_of, rooflines
    from legoclf.jetson.device import read_device

    peaks = peaks_of(peak, read_device(), clocks)
    found = rooflines(bundle, measured.facts["configurations"], measured.series, peaks)
    measured.facts["roofline"] = found.facts
    measured.facts["notes"] += found.notes


def _accuracy(opened: "Sequence[Opened]", images: Any, notes: List[str]) -> List[Any]:
    """A series for each network; what the images are goes to the notes."""
    from legoclf.benchmarks.device.accuracy import name_images
    from legoclf.benchmarks.device.result import Series

    series = []
    unreadable = 0
    for one in opened:
        named = name_images(one.runtime, images.images)
        unreadable = named.unreadable
        series.append(Series("accuracy, " + one.name, "right", [named.right]))
    notes.append("accuracy is that of {}".format(images.how))
    if unreadable:
        notes.append("{} of these images cannot be read and are left out".format(unreadable))
    return series


def _frames_fact(frames: "Sequence[Frame]", source: str) -> Dict[str, Any]:
    from legoclf.benchmarks.device.conditions_command import shown_command

    first = frames[0]
    return {
        "count": len(frames),
        "width": first.width,
        "height": first.height,
        "pixel_format": first.pixel_format,
        "source": shown_command([source]),
    }


def _frames_note(fact: Dict[str, Any]) -> str:
    return "{count} frames of {width}x{height} {pixel_format}, read beforehand from {source}".format(**fact)


def _trtexec(bundle: "Bundle", opened: "Sequence[Opened]", batches: Sequence[int]) -> Dict[str, Any]:
    """The commands by what they belong to: the engines measured, else what a device would run."""
    from legoclf.benchmarks.device.runtimes import is_dynamic
    from legoclf.benchmarks.device.trtexec import device_commands, measured_commands, parse_release

    dynamic = is_dynamic(bundle)
    engines = [one for one in opened if one.engine is not None]
    size = (bundle.contract.height, bundle.contract.width)
    found = {one.name: measured_commands(one, size, batches, dynamic) for one in engines}
    for version, where in () if engines else _RELEASES:
        name = "TensorRT {} ({})".format(version, where)
        found[name] = device_commands(bundle, parse_release(version), dynamic)
    return {name: dict(commands._asdict()) for name, commands in found.items()}


def _trtexec_notes(commands: Dict[str, Any]) -> List[str]:
    notes = []
    for name, each in commands.items():
        lines = "; ".join("`{}`".format(line) for line in each["lines"])
        differs = " ({})".format(each["differs"]) if each["differs"] else ""
        notes.append("{}, in the bundle's folder: {}{}".format(name, lines, differs))
    return notes
