"""The command line: finds the subcommand, imports its stage alone, and turns errors into one line.

This is the one module that names every stage. A stage's command module defines ``add_arguments(parser)``
and ``run(args)``, returning the exit code; its docstring is the help text.
"""

import argparse
import difflib
import importlib
import logging
import os
import sys
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Sequence, Tuple

from legoclf import __version__
from legoclf.errors import LegoclfError, UsageError, printable


class Command(NamedTuple):
    """A subcommand: the module behind it, its line in the help, and the Python it needs."""

    module: str
    summary: str
    python: Tuple[int, int] = (3, 6)


TRAINING_PYTHON = (3, 11)

COMMANDS: Dict[str, Command] = {
    "retrain": Command(
        "legoclf.retrain.command", "train a classifier on a folder of photos", TRAINING_PYTHON
    ),
    "classify": Command("legoclf.classify", "name what images show"),
    "convert": Command(
        "legoclf.convert.command", "make the graphs that devices want: FP16, INT8, ONNX", TRAINING_PYTHON
    ),
    "build-engine": Command("legoclf.convert.engine.command", "build a TensorRT engine on the device"),
    "verify": Command(
        "legoclf.convert.verify_command", "prove that a bundle's graphs say the same", TRAINING_PYTHON
    ),
    "camera": Command("legoclf.jetson.camera_command", "name what a camera sees, live"),
    "serve": Command("legoclf.jetson.serve_command", "name images that come over HTTP"),
    "capture": Command("legoclf.jetson.capture_command", "fill class folders from a camera"),
    "doctor": Command(
        "legoclf.jetson.doctor_command", "what stands in the way on this machine, and its mend"
    ),
    "bundle pack": Command("legoclf.jetson.pack_command", "a bundle and its runtime as one file"),
    "data check": Command(
        "legoclf.data.check_command", "look a folder of photos over, and show its split", TRAINING_PYTHON
    ),
    "data render": Command(
        "legoclf.data.render_command", "render a data set of bricks from part geometry", TRAINING_PYTHON
    ),
    "benchmark": Command(
        "legoclf.benchmarks.device.inference_command", "latency, accuracy and roofline of a bundle here"
    ),
    "benchmark live": Command(
        "legoclf.benchmarks.device.live_command", "rate of the live loop against the bare session"
    ),
    "benchmark serving": Command(
        "legoclf.benchmarks.device.serving_command", "rate of POST /classify against the bare session"
    ),
    "benchmark roofline": Command(
        "legoclf.benchmarks.device.roofline_command", "what each board could reach at best"
    ),
    "benchmark training": Command(
        "legoclf.benchmarks.training_command",
        "stages of training, against Keras and scikit-learn",
        TRAINING_PYTHON,
    ),
    "benchmark retrain": Command(
        "legoclf.benchmarks.retrain_command", "time and accuracy against retrain.py", TRAINING_PYTHON
    ),
    "benchmark extract": Command(
        "legoclf.benchmarks.extract_command",
        "rate of feature extraction against the bare ONNX Runtime",
        TRAINING_PYTHON,
    ),
    "benchmark conversion": Command(
        "legoclf.benchmarks.conversion_command", "time, size and drift of each artefact", TRAINING_PYTHON
    ),
    "benchmark scaling": Command(
        "legoclf.benchmarks.scaling_command", "time and memory by number of images", TRAINING_PYTHON
    ),
    "benchmark startup": Command(
        "legoclf.benchmarks.startup_command", "start-up time of every subcommand", TRAINING_PYTHON
    ),
    "benchmark compare": Command(
        "legoclf.benchmarks.compare_command", "two results: significant or noise", TRAINING_PYTHON
    ),
    "benchmark report": Command(
        "legoclf.benchmarks.report_command", "results as one page, with plots", TRAINING_PYTHON
    ),
    "benchmark suite": Command(
        "legoclf.benchmarks.suite_command", "all benchmarks in one run", TRAINING_PYTHON
    ),
    "dashboard": Command(
        "legoclf.retrain.dashboard_command",
        "a training in TensorBoard, while it runs or afterwards",
        TRAINING_PYTHON,
    ),
    "view": Command("legoclf.retrain.view_command", "the graph of a network in Netron", TRAINING_PYTHON),
    "demo": Command("legoclf.retrain.demo_command", "the whole path on rendered bricks", TRAINING_PYTHON),
}


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are UsageError, so that they are told like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("{} (see {} --help)".format(message, self.prog))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run `legoclf`; the exit code: 0 done, 1 the work failed, 2 the call was wrong, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return _dispatch(arguments)
    except LegoclfError as error:
        if debug:
            raise
        sys.stderr.write("legoclf: error: {}\n".format(printable(str(error))))
        return error.exit_code
    except KeyboardInterrupt:
        if debug:
            raise
        sys.stderr.write("\nlegoclf: interrupted; the same command again goes on from what is done\n")
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would complain once more when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # A full disk, a folder that went away: the machine's trouble, not a fault of the program.
        if debug:
            raise
        sys.stderr.write("legoclf: error: {}: {}\n".format(error.filename or "output", error.strerror))
        return LegoclfError.exit_code


def _dispatch(arguments: List[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_overview(""))
        return 0
    if arguments[0] == "--version":
        sys.stdout.write("legoclf {}\n".format(__version__))
        return 0
    name, rest = _find_command(arguments)
    if name not in COMMANDS:
        sys.stdout.write(_overview(name))
        return 0
    command = COMMANDS[name]
    if sys.version_info < command.python:
        raise LegoclfError(
            "`legoclf {}` needs Python 3.11 to 3.13, and this is {}.{}; "
            "run it on the training machine".format(name, *sys.version_info[:2])
        )
    module: Any = importlib.import_module(command.module)
    args = parse(name, module, rest)
    args.command_line = ["legoclf", *arguments]
    code: int = module.run(args)
    return code


def parse(name: str, module: Any, arguments: List[str]) -> argparse.Namespace:
    """The arguments of a subcommand, parsed by what its module defines; UsageError if they are wrong."""
    parser = _Parser(
        prog="legoclf " + name,
        description=module.__doc__,
        epilog=_more_of(name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args, unknown = parser.parse_known_args(_underscored(arguments))
    if unknown:
        raise UsageError(_unknown_argument(unknown[0], parser))
    return args


def _more_of(name: str) -> Optional[str]:
    """The subcommands of two words whose first is a subcommand of its own; None if there are none."""
    more = [(other, command) for other, command in COMMANDS.items() if other.startswith(name + " ")]
    if not more:
        return None
    return "\n".join(["more:"] + ["  legoclf {:<22}{}".format(other, each.summary) for other, each in more])


def _find_command(arguments: List[str]) -> Tuple[str, List[str]]:
    """The subcommand (one or two words) and the arguments behind it; a group alone is itself."""
    first = arguments[0]
    if " ".join(arguments[:2]) in COMMANDS:
        return " ".join(arguments[:2]), arguments[2:]
    if first in COMMANDS:
        _check_is_no_misspelling(arguments)
        return first, arguments[1:]
    names = [name.split()[0] for name in COMMANDS]
    if first not in names:
        raise UsageError("no subcommand {!r}{}; see legoclf --help".format(first, _nearest(first, names)))
    if len(arguments) == 1 or arguments[1] in ("-h", "--help"):
        return first, []
    both = first + " " + arguments[1]
    raise UsageError(
        "no subcommand {!r}{}; see legoclf {} --help".format(both, _nearest(both, list(COMMANDS)), first)
    )


def _check_is_no_misspelling(arguments: List[str]) -> None:
    """Refuse `benchmark lvie`: no flag, no file, and all but a subcommand of two words."""
    group = [name for name in COMMANDS if name.startswith(arguments[0] + " ")]
    if len(arguments) < 2 or not group or arguments[1].startswith("-") or os.path.exists(arguments[1]):
        return
    both = " ".join(arguments[:2])
    near = _nearest(both, group, cutoff=0.85)
    if near:
        raise UsageError("no subcommand {!r}{}; see legoclf {} --help".format(both, near, arguments[0]))


def _overview(group: str) -> str:
    lines = ["usage: legoclf {} ...".format(group + " SUBCOMMAND" if group else "SUBCOMMAND"), ""]
    if not group:
        lines += ["From a folder of photos to a classifier at camera rate on a Jetson Nano.", ""]
    lines += [
        "  {:<22}{}".format(name, command.summary)
        for name, command in COMMANDS.items()
        if not group or name.split()[0] == group
    ]
    lines += ["", "`legoclf SUBCOMMAND --help` tells the flags; --debug shows the traceback of an error."]
    if not group:
        lines += ["`legoclf --version` tells the version."]
    return "\n".join(lines) + "\n"


def _underscored(arguments: List[str]) -> List[str]:
    """Flags with underscores, as retrain.py writes them; values and what stands behind ``--`` stay."""
    result: List[str] = []
    for index, argument in enumerate(arguments):
        if argument == "--":
            return result + arguments[index:]
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            argument = "--" + flag[2:].replace("-", "_") + equals + value
        result.append(argument)
    return result


def _unknown_argument(argument: str, parser: argparse.ArgumentParser) -> str:
    if not argument.startswith("-"):
        return "unexpected argument {!r} (see {} --help)".format(argument, parser.prog)
    flag = argument.partition("=")[0]
    known = [name for action in parser._actions for name in action.option_strings]
    return "unknown flag {}{} (see {} --help)".format(flag, _nearest(flag, known), parser.prog)


def _nearest(word: str, known: List[str], cutoff: float = 0.5) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=cutoff)
    return "; did you mean {}?".format(close[0]) if close else ""
