"""Build the TensorRT engine of a bundle on the device that will run it.

    legoclf build-engine [BUNDLE] --fp16
    legoclf build-engine [BUNDLE]                     FP32 and FP16, timed here; the faster is used

Each engine is verified with the bundle's golden images and timed; one that answers otherwise than the ONNX
graph is never used. What stands in the bundle and still fits is used again; what no longer fits (another
TensorRT, GPU, graph, option) is never loaded, and built anew. The build runs in a process of its own, so
that an end for want of memory is told, with the commands that add swap.
"""

import argparse
import contextlib
import json
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from legoclf.bundle import Bundle, find_bundle
from legoclf.convert.engine.build import PRECISIONS, BuildConfig
from legoclf.errors import LegoclfError, UsageError
from legoclf.user_cache import default_cache_dir

if TYPE_CHECKING:
    from legoclf.convert.engine.report import Outcome

LOGGER = logging.getLogger(__name__)

_DEFAULTS = BuildConfig()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf build-engine`."""
    parser.add_argument("bundle", nargs="?", help="the bundle; may be left out where there is one here")
    parser.add_argument("--precision", choices=("auto", *PRECISIONS), help="auto (default) tries and times")
    parser.add_argument("--fp16", action="store_true", help="the same as --precision fp16")
    parser.add_argument("--int8", action="store_true", help="let auto try INT8 too (model.int8.onnx)")
    parser.add_argument(
        "--batch",
        metavar="N|MIN:OPT:MAX",
        help="images at a time (as `legoclf convert --batch` said, or 1)",
    )
    parser.add_argument(
        "--workspace",
        type=int,
        default=_DEFAULTS.workspace_mib,
        metavar="MIB",
        help="memory for the layers' algorithms ({})".format(_DEFAULTS.workspace_mib),
    )
    parser.add_argument(
        "--optimization_level", type=int, choices=range(6), help="0 builds fastest, 5 searches longest"
    )
    parser.add_argument("--dla", type=int, metavar="CORE", help="use this DLA core, and the GPU for the rest")
    parser.add_argument(
        "--version_compatible", action="store_true", help="later TensorRT releases load it too"
    )
    parser.add_argument(
        "--hardware_compatible", action="store_true", help="every GPU since Ampere runs it (not on a Jetson)"
    )
    parser.add_argument(
        "--compute_capability",
        default="",
        metavar="X.Y",
        help="build for such a GPU, which need not be here (TensorRT for RTX); not timed, not verified",
    )
    parser.add_argument(
        "--rebuild",
        choices=("auto", "always", "never"),
        default="auto",
        help="auto builds where no engine fits; never refuses then",
    )
    parser.add_argument(
        "--timing_cache", metavar="PATH", help="where the builder keeps what it measured; '' for nowhere"
    )
    parser.add_argument(
        "--probability_bound", type=float, help="most that a probability may differ (golden.npz's, 0.02)"
    )
    parser.add_argument(
        "--layers", action="store_true", help="show the time of each layer of the chosen engine"
    )
    parser.add_argument("--verbose", action="store_true", help="show all that TensorRT says")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Build, verify, time, choose, print.

    Raises:
        LegoclfError: no engine passes, or none could be built.
    """
    from legoclf.convert.engine.precision import notes_of
    from legoclf.convert.engine.report import check_outcome, outcome_json, outcome_text

    outcome = build(args)
    for trial in outcome.trials:
        for note in notes_of(trial) if not trial.reused else []:
            _say("{}: {}".format(trial.precision, note))
    if args.json:
        record = outcome_json(outcome)
        sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        sys.stdout.write(outcome_text(outcome))
    check_outcome(outcome)
    return 0


def build(args: argparse.Namespace) -> "Outcome":
    """All of the work, and nothing on standard output.

    Raises:
        UsageError: flags that contradict each other or have values outside their range.
        LegoclfError: there is no TensorRT or CUDA here, or the only precision asked for cannot be had.
    """
    from legoclf.convert.engine.memory import memory_warning
    from legoclf.convert.engine.precision import fastest
    from legoclf.convert.engine.report import Outcome
    from legoclf.convert.engine.trials import Plan, try_precisions
    from legoclf.golden import read_golden
    from legoclf.jetson.device import read_device
    from legoclf.jetson.engine_identity import Machine, tensorrt_version, this_machine
    from legoclf.jetson.engine_store import mark_chosen
    from legoclf.jetson.tensorrt_api import find_tensorrt

    here = not args.compute_capability
    if args.layers and not here:
        raise UsageError("--layers times the layers on the GPU, which --compute_capability says is not here")
    precisions = wanted_precisions(args)
    bundle = Bundle.open(find_bundle(args.bundle))
    config = wishes(args, default_batch(bundle))
    api = find_tensorrt()
    if not here:
        _check_target(api, args.compute_capability)
    warning = memory_warning(read_device())
    if warning:
        _say(warning)
    with contextlib.ExitStack() as stack:
        cuda = stack.enter_context(_open_cuda(api)) if here else None
        target = Machine(tensorrt_version(api), "", "", args.compute_capability, "")
        machine = this_machine(api, cuda) if here else target
        cache = timing_cache_path(args.timing_cache, machine.tensorrt, machine.gpu)
        golden = read_golden(bundle) if here else None
        plan = Plan(
            bundle,
            machine,
            precisions,
            config._replace(timing_cache=cache),
            args.rebuild,
            golden,
            args.probability_bound,
        )
        trials = try_precisions(plan, api, cuda, _say)
        chosen = fastest(trials)
        if chosen is not None and chosen.engine is not None:
            mark_chosen(chosen.engine, machine)
        layers = _layers(chosen, golden, api, cuda) if args.layers else []
    return Outcome(bundle, machine, trials, chosen, layers, here)


def default_batch(bundle: Bundle) -> Tuple[int, int, int]:
    """Images at a time, least, usual, most: of ``provenance.batch``, which `legoclf convert` writes, or 1."""
    recorded = bundle.provenance.get("batch")
    most = recorded.get("most") if isinstance(recorded, dict) else 1
    return 1, 1, most if isinstance(most, int) and most > 0 else 1


def wishes(args: argparse.Namespace, batch: Tuple[int, int, int] = (1, 1, 1)) -> BuildConfig:
    """What the flags ask of the builder; the precision is left open.

    Args:
        batch: where --batch is not given.

    Raises:
        UsageError: a value outside its range.
    """
    if args.workspace < 1:
        raise UsageError("--workspace: got {}, expected 1 MiB or more".format(args.workspace))
    return BuildConfig(
        workspace_mib=args.workspace,
        batch=batch if args.batch is None else parse_batch(args.batch),
        optimization_level=args.optimization_level,
        dla_core=args.dla,
        version_compatible=args.version_compatible,
        hardware_compatible=args.hardware_compatible,
        verbose=args.verbose,
        compute_capability=args.compute_capability,
    )


def wanted_precisions(args: argparse.Namespace) -> List[str]:
    """The precisions to try, in order.

    Raises:
        UsageError: flags that contradict each other.
    """
    if args.fp16 and args.precision not in (None, "fp16"):
        raise UsageError("--fp16 and --precision {}: name one".format(args.precision))
    precision = "fp16" if args.fp16 else args.precision or "auto"
    if precision == "auto":
        # The DLA has no FP32.
        return ([] if args.dla is not None else ["fp32"]) + ["fp16"] + (["int8"] if args.int8 else [])
    if args.int8 and precision != "int8":
        raise UsageError("--int8 adds INT8 to --precision auto; got --precision {}".format(precision))
    return [precision]


def parse_batch(text: str) -> Tuple[int, int, int]:
    """``4`` is (4, 4, 4), ``1:4:8`` is (1, 4, 8).

    Raises:
        UsageError: it is neither.
    """
    parts = text.split(":")
    sizes = [int(part) for part in parts if part.isdigit()]
    if len(sizes) == len(parts) and len(sizes) in (1, 3):
        smallest, optimal, largest = sizes if len(sizes) == 3 else sizes * 3
        if 1 <= smallest <= optimal <= largest:
            return smallest, optimal, largest
    raise UsageError(
        "--batch: got {!r}, expected a number or MIN:OPT:MAX, rising, such as 1:4:8".format(text)
    )


def timing_cache_path(named: Optional[str], tensorrt: str, gpu: str) -> str:
    """The timing cache: the named file, else one in the user's cache, by TensorRT and GPU."""
    if named is not None:
        return named
    name = re.sub(r"[^\w.]+", "_", "{}-{}".format(tensorrt, gpu or "any"), flags=re.ASCII)
    return os.path.join(default_cache_dir(), "timing", name + ".cache")


def _say(line: str) -> None:
    LOGGER.info("%s", line)


def _check_target(api: Any, wanted: str) -> None:
    known = api.compute_capabilities
    if wanted not in known:
        raise LegoclfError(
            "--compute_capability {}: {} {}".format(
                wanted,
                api.name,
                "knows " + ", ".join(known)
                if known
                else "builds only for the GPU that is there; leave it out",
            )
        )


def _open_cuda(api: Any) -> Any:
    from legoclf.jetson.cuda import open_cuda

    try:
        return open_cuda()
    except LegoclfError as error:
        if not api.compute_capabilities:
            raise
        raise LegoclfError(
            "{}; or build for a GPU that is elsewhere: --compute_capability {}".format(
                error, "|".join(api.compute_capabilities)
            )
        ) from error


def _layers(chosen: Any, golden: Any, api: Any, cuda: Any) -> List[Any]:
    from legoclf.convert.engine.golden import repeated
    from legoclf.convert.engine.layers import layer_table
    from legoclf.convert.engine.trials import open_session

    if chosen is None:
        return []
    with open_session(chosen.engine, api, cuda) as session:
        return layer_table(session, repeated(golden.tensors, session.batch_sizes[1]))
