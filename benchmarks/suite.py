"""All benchmarks one after the other, each a process of its own: result files, a table and a page."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from legoclf.benchmarks.device.emit import as_markdown
from legoclf.benchmarks.device.result import Result, load

#: After which a benchmark is stopped.
MOST_SECONDS = 900

#: Rendered where no data set is named: pictures of each of the parts, as in `legoclf demo`.
_RENDERED, _RENDERED_SHORT = 60, 12


@dataclass(frozen=True)
class Step:
    """One benchmark: the arguments behind `legoclf benchmark`, with ``{bundle}`` and ``{image_dir}`` in them.

    short: further arguments of the short form.
    """

    name: str
    arguments: tuple[str, ...]
    short: tuple[str, ...] = ("--short",)

    def command(self, bundle: Path, image_dir: Path, is_short: bool) -> list[str]:
        """The words of the call, without its output flags."""
        words = [*self.arguments, *(self.short if is_short else ())]
        return ["benchmark", *(word.format(bundle=bundle, image_dir=image_dir) for word in words)]


STEPS = (
    Step("inference", ("{bundle}", "--image_dir", "{image_dir}")),
    Step("live", ("live", "{bundle}"), ("--rounds", "6", "--frames", "30")),
    Step("serving", ("serving", "{bundle}")),
    Step("roofline", ("roofline", "{bundle}"), ()),
    Step("extraction", ("extract", "--image_dir", "{image_dir}"), ("--images", "8", "--views", "1")),
    Step("training", ("training", "--image_dir", "{image_dir}")),
    Step("conversion", ("conversion", "{bundle}", "--image_dir", "{image_dir}")),
    Step("scaling", ("scaling",)),
    Step("startup", ("startup",)),
)


@dataclass(frozen=True)
class Outcome:
    """How a step ended: its result, or in one line what was wrong."""

    name: str
    seconds: float
    result: Result | None
    trouble: str


def make_bundle(scratch: Path, image_dir: Path | None, is_short: bool) -> tuple[Path, Path]:
    """A bundle, with its FP16 graph but for the short form, and the data set that it was trained on.

    Args:
        image_dir: the data set; None renders bricks.
    """
    if image_dir is None:
        image_dir = scratch / "bricks"
        count = _RENDERED_SHORT if is_short else _RENDERED
        _legoclf(["data", "render", str(image_dir), "--count", str(count), "--size", "192"])
    bundle = scratch / "suite.bundle"
    # As a user calls it, but for the copies that it leaves in the system's temporary folder.
    places = {"bottleneck_dir": "features", "output_graph": "graph.pb", "output_labels": "labels.txt"}
    places |= {"summaries_dir": "logs", "checkpoint_path": "checkpoint"}
    flags = [f"--{flag}={scratch / name}" for flag, name in places.items()]
    _legoclf(["retrain", "--image_dir", str(image_dir), "--bundle", str(bundle), *flags])
    if not is_short:  # whose inference is of FP32 alone
        _legoclf(["convert", str(bundle), "--image_dir", str(image_dir)])
    return bundle, image_dir


def run_step(step: Step, bundle: Path, image_dir: Path, output_dir: Path, is_short: bool) -> Outcome:
    """Run one; its result file is ``output_dir/<name>.json``."""
    target = output_dir / f"{step.name}.json"
    words = [*step.command(bundle, image_dir, is_short), "--output", str(target)]
    start = time.monotonic()
    try:
        done = subprocess.run(_call(words), capture_output=True, text=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return Outcome(step.name, time.monotonic() - start, None, f"stopped after {MOST_SECONDS} s")
    seconds = time.monotonic() - start
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        return Outcome(step.name, seconds, None, last.removeprefix("legoclf: error: "))
    return Outcome(step.name, seconds, load(str(target)), "")


def summary(outcomes: Sequence[Outcome]) -> str:
    """Every table, one under the other, and what did not run."""
    parts = [as_markdown(each.result) for each in outcomes if each.result is not None]
    failed = [f"- {each.name}: {each.trouble}" for each in outcomes if each.result is None]
    if failed:
        parts.append("\n".join(["# not measured", "", *failed]) + "\n")
    return "\n".join(parts)


def _legoclf(words: Sequence[str]) -> None:
    from legoclf.errors import LegoclfError

    done = subprocess.run(_call(words), capture_output=True, text=True, timeout=MOST_SECONDS)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        raise LegoclfError(f"legoclf {words[0]} failed: {last.removeprefix('legoclf: error: ')}")


def _call(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "legoclf", *words]
