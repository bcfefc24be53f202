"""All benchmarks one after the other, each a process of its own: result files, a table and a page."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from legoclf.benchmarks.device.emit import as_markdown
from legoclf.benchmarks.device.result import Result, load
from legoclf.benchmarks.process import places_of_retrain, run_legoclf
from legoclf.errors import LegoclfError

#: After which a benchmark is stopped.
MOST_SECONDS = 900

#: Rendered where no data set is named: pictures of each of the parts, as in `legoclf demo`.
_RENDERED, _RENDERED_SHORT = 40, 12


@dataclass(frozen=True)
class Step:
    """One benchmark: the arguments behind `legoclf benchmark`, with ``{bundle}`` and ``{image_dir}`` in them.

    short: further arguments of the short form. in_short: whether it is part of that without being asked for;
    a few images and seconds tell little of some.
    """

    name: str
    arguments: tuple[str, ...]
    short: tuple[str, ...] = ("--short",)
    in_short: bool = True

    def command(self, bundle: Path, image_dir: Path, is_short: bool) -> list[str]:
        """The words of the call, without its output flags."""
        words = [*self.arguments, *(self.short if is_short else ())]
        return ["benchmark", *(word.format(bundle=bundle, image_dir=image_dir) for word in words)]


#: Of most a little less than the same benchmark does by itself: all end within 15 minutes on two cores.
STEPS = (
    Step("inference", ("{bundle}", "--image_dir", "{image_dir}")),
    Step("live", ("live", "{bundle}", "--rounds", "10"), ("--rounds", "6", "--frames", "30")),
    Step("serving", ("serving", "{bundle}", "--turns", "8"), ("--turns", "6", "--seconds", "0.3")),
    Step("roofline", ("roofline", "{bundle}"), ()),
    Step(
        "extraction",
        ("extract", "--image_dir", "{image_dir}", "--rounds", "6", "--images", "50"),
        ("--images", "8", "--views", "1", "--rounds", "15"),
    ),
    Step(
        "training",
        ("training", "--image_dir", "{image_dir}", "--images", "140", "--seconds", "9"),
        in_short=False,
    ),
    Step("conversion", ("conversion", "{bundle}", "--image_dir", "{image_dir}"), in_short=False),
    Step("scaling", ("scaling", "--once", "--images", "1000,10000,20000"), ("--images", "100,400"), False),
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
        run_legoclf(["data", "render", str(image_dir), "--count", str(count), "--size", "192"], MOST_SECONDS)
    bundle = scratch / "suite.bundle"
    flags = ["--image_dir", str(image_dir), "--bundle", str(bundle), *places_of_retrain(scratch)]
    run_legoclf(["retrain", *flags], MOST_SECONDS)
    if not is_short:  # whose inference is of FP32 alone
        run_legoclf(["convert", str(bundle), "--image_dir", str(image_dir)], MOST_SECONDS)
    return bundle, image_dir


def run_step(step: Step, bundle: Path, image_dir: Path, output_dir: Path, is_short: bool) -> Outcome:
    """Run one; its result file is ``output_dir/<name>.json``."""
    target = output_dir / f"{step.name}.json"
    words = [*step.command(bundle, image_dir, is_short), "--output", str(target)]
    start = time.monotonic()
    try:
        run_legoclf(words, MOST_SECONDS)
    except LegoclfError as error:
        return Outcome(step.name, time.monotonic() - start, None, str(error))
    return Outcome(step.name, time.monotonic() - start, load(str(target)), "")


def summary(outcomes: Sequence[Outcome]) -> str:
    """Every table, one under the other, and what did not run."""
    parts = [as_markdown(each.result) for each in outcomes if each.result is not None]
    failed = [f"- {each.name}: {each.trouble}" for each in outcomes if each.result is None]
    if failed:
        parts.append("\n".join(["# not measured", "", *failed]) + "\n")
    return "\n".join(parts)
