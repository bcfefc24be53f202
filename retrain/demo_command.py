"""The whole path on rendered bricks: photos, training, conversion, answers.

    legoclf demo [OUT]

Renders a small data set of bricks into OUT, trains a classifier on it, proves that its graphs agree, and
names bricks that it has not seen. OUT (./demo) is all that is written; a second run goes on from there.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from legoclf.errors import LegoclfError

if TYPE_CHECKING:
    from legoclf.retrain.training import Trained

T = TypeVar("T")

IMAGES_A_PART = 120
NEW_IMAGES_A_PART = 10
IMAGE_SIZE = 192

#: New bricks are rendered from another seed, so that none of them was trained on.
SEED, NEW_SEED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf demo`."""
    parser.add_argument("out", nargs="?", type=Path, default=Path("demo"), help="folder to write (demo)")
    parser.add_argument(
        "--count", type=int, default=IMAGES_A_PART, help=f"images of each part to train on ({IMAGES_A_PART})"
    )


def run(args: argparse.Namespace) -> int:
    """Go through the stages and print what each gave."""
    from legoclf.classify import classify, count_right, find_sources
    from legoclf.convert.verify import verify
    from legoclf.data.render import render_dataset

    out: Path = args.out
    stages = _Stages()
    rendered = stages.run(
        "render", lambda: render_dataset(out / "bricks", count=args.count, size=IMAGE_SIZE, seed=SEED)
    )
    stages.told(f"{rendered.rendered + rendered.kept} pictures of {len(rendered.classes)} parts")
    new = out / "new_bricks"
    stages.run("render", lambda: render_dataset(new, count=NEW_IMAGES_A_PART, size=IMAGE_SIZE, seed=NEW_SEED))
    stages.told(f"{NEW_IMAGES_A_PART} more of each, from another seed")
    trained = stages.run("retrain and convert", lambda: _train(out, args.command_line))
    stages.told(_accuracy_text(trained))
    bundle = trained.bundle
    if not stages.run("verify", lambda: verify(bundle)).passed:
        raise LegoclfError(f"{bundle.path}: its graphs differ; `legoclf verify {bundle.path}` tells where")
    stages.told("frozen graph, SavedModel and ONNX agree")
    answers = stages.run(
        "classify", lambda: list(classify(bundle, find_sources([str(new)], bundle.labels), top_k=1))
    )
    right, total = count_right(answers)
    stages.told(f"{right} of {total} new pictures named right ({right / total:.1%})")
    shown = os.path.relpath(bundle.path)
    example = os.path.relpath(answers[0].source.path)
    sys.stdout.write(
        f"{stages.table()}bundle: {shown}\nreport: {os.path.join(shown, 'report', 'index.html')}\n"
        f"next: legoclf classify {shlex.quote(shown)} {shlex.quote(example)}\n"
    )
    return 0


class _Stages:
    """Times stages and keeps what each gave, for the table at the end."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float, str]] = []

    def run(self, name: str, work: Callable[[], T]) -> T:
        start = time.monotonic()
        result = work()
        self._rows.append((name, time.monotonic() - start, ""))
        return result

    def told(self, what: str) -> None:
        name, seconds, _ = self._rows[-1]
        self._rows[-1] = (name, seconds, what)

    def table(self) -> str:
        lines = [f"\n{'stage':<20} {'seconds':>7}  result"]
        lines += [f"{name:<20} {seconds:>7.1f}  {what}" for name, seconds, what in self._rows]
        return "\n".join(lines) + "\n"


def _train(out: Path, command_line: list[str]) -> "Trained":
    from legoclf.retrain.settings import Settings
    from legoclf.retrain.training import retrain
    from legoclf.user_cache import default_cache_dir

    settings = Settings(
        image_dir=str(out / "bricks"),
        bundle=out / "bricks.bundle",
        bottleneck_dir=out / "features",
        command=tuple(command_line),
    )
    trained = retrain(settings, Path(default_cache_dir()))
    assert trained is not None, "one machine alone always writes"
    return trained


def _accuracy_text(trained: "Trained") -> str:
    report = trained.result.test
    if report is None:
        return "no test image: too few pictures"
    low, high = report.interval
    interval = f"95 % interval {low:.0%} to {high:.0%}"
    return f"{report.accuracy:.1%} of {report.images} test pictures named right ({interval})"
