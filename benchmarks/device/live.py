"""The live loop: its rate against the bare session's, and how late its answers are. Python 3.6.

The bare session runs on a tensor that lies ready, again and again. The loop does all the rest beside it: it
reads frames, prepares them, keeps the order and smooths the answers. It is run on frames that never let it
wait, and on those of a camera's rate, where frames may be lost and answers late. All take turns.
"""

import threading
import time
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from legoclf.benchmarks.device.callers import bare_ways
from legoclf.benchmarks.device.conditions_command import shown_command
from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.benchmarks.device.samples import summarise
from legoclf.bundle import Bundle
from legoclf.cores import available_cores
from legoclf.jetson.frame import Frame
from legoclf.jetson.loop import LiveLoop, LoopOptions
from legoclf.jetson.loop_report import LoopReport
from legoclf.jetson.output import Output
from legoclf.jetson.output_worker import Outputs
from legoclf.jetson.result import Result
from legoclf.jetson.runtime import STEPS, Runtime, open_runtime
from legoclf.jetson.smoothing import SmoothingOptions
from legoclf.jetson.source import open_source
from legoclf.jetson.source_uri import parse_source
from legoclf.jetson.views import WholeView
from legoclf.jetson.workers import Answered

LOOP = "the live loop"
AGE = "from capture to answer, {}"
UNPACED = "frames that lie ready"
PACED = "a source of {:g} frames/s"
ANSWERS = "answers, {}"
ALONE = "{}, one frame by itself"

_WARM_UP_FRAMES = 10
_STEP_FRAMES = 10

#: Seconds of each turn at a camera's rate, at most.
_PACED_SECONDS = 2.0


class Tally(NamedTuple):
    """The answers of some runs, by the numbers of their frames.

    dropped: frames between a run's first answer and its last that got none. duplicates: answers to a frame
    that had one. disordered: answers to a frame older than one that had its answer.
    """

    answered: int = 0
    dropped: int = 0
    duplicates: int = 0
    disordered: int = 0

    def plus(self, sequences: Sequence[int]) -> "Tally":
        """With the answers of one more run, in the order in which they came."""
        seen = set(sequences)
        span = max(seen) - min(seen) + 1 if seen else 0
        newest, disordered = -1, 0
        for sequence in sequences:
            disordered += sequence < newest
            newest = max(newest, sequence)
        return Tally(
            self.answered + len(sequences),
            self.dropped + span - len(seen),
            self.duplicates + len(sequences) - len(seen),
            self.disordered + disordered,
        )


class Seen(Output):
    """An output that remembers each answer's frame number and age in milliseconds."""

    name = "benchmark"

    def __init__(self) -> None:
        self.sequences: List[int] = []
        self.ages_ms: List[float] = []

    def write(self, result: Result) -> None:
        self.sequences.append(result.sequence)
        self.ages_ms.append(result.age_ms)


class _AgedView(WholeView):
    """Remembers how old answers are, where no output is to slow the loop down."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels, None, SmoothingOptions(), 5)
        self.ages_ms: List[float] = []

    def conclude(self, answered: Answered) -> Result:
        result = super().conclude(answered)
        self.ages_ms.append(result.age_ms)
        return result


class _Turns(object):
    """Samples by the names of their series, a list of each turn."""

    def __init__(self) -> None:
        self.samples: Dict[str, List[List[float]]] = {}

    def add(self, name: str, samples: Sequence[float]) -> None:
        self.samples.setdefault(name, []).append(list(samples))

    def series(self, unit: str, names: Sequence[str]) -> List[Series]:
        """Those that there are, but for those that are 0 throughout: a step that this runtime has not."""
        found = [Series(name, unit, self.samples[name]) for name in names if name in self.samples]
        return [one for one in found if any(any(turn) for turn in one.turns)]


def measure(
    bundle: Bundle, backend: str, source: str, frames: int, rounds: int, source_fps: float = 30.0
) -> Measured:
    """Run the ways in turns.

    Args:
        backend: as of :func:`legoclf.jetson.runtime.open_runtime`.
        source: URI of one that never lets the loop wait.
        frames: in each turn, two or more.
        rounds: turns of each.
        source_fps: of a camera that the loop is run on too; 0 leaves that out.
    """
    turns, tally = _Turns(), Tally()
    with open_runtime(bundle, backend) as runtime, ExitStack() as stack:
        frame = _frame(source)
        ways = bare_ways(bundle, runtime, runtime.preprocess(frame)[None], stack)
        _run_loop(runtime, source, _WARM_UP_FRAMES)
        for run in ways.values():
            _rate(run.do, _WARM_UP_FRAMES)
        for _ in range(rounds):
            for name, run in ways.items():
                turns.add(name, [_rate(run.do, frames)])
            view = _AgedView(runtime.labels)
            turns.add(LOOP, [_run_loop(runtime, source, frames, view).fps])
            turns.add(AGE.format(UNPACED), view.ages_ms)
            if source_fps:
                tally = tally.plus(_paced_turn(runtime, source, source_fps, frames, turns))
            _step_turn(runtime, frame, turns)
        description = runtime.description
    facts = _facts(description, source, frames, source_fps, tally)
    series = _series(turns, list(ways), source_fps)
    facts["notes"] = _notes(facts, series, source_fps)
    return Measured(series, [Ratio(LOOP + ", of " + name, LOOP, name) for name in ways], facts)


def paced_source(source: str, fps: float) -> str:
    """Frames made in memory at a camera's rate; of the size of ``source``, where that is made so too."""
    parsed = parse_source(source)
    size: Dict[str, Any] = {"width": 640, "height": 480, "format": "BGR"}
    if parsed.kind == "synthetic":
        size = {name: parsed.options[name] for name in size}
    return "synthetic://?width={width}&height={height}&format={format}&fps={fps:g}".format(fps=fps, **size)


def _paced_turn(runtime: Runtime, source: str, fps: float, frames: int, turns: _Turns) -> List[int]:
    """One run at a camera's rate, its answers taken by an output; the numbers of the frames answered."""
    seen = Seen()
    wanted = max(2, min(frames, int(fps * _PACED_SECONDS)))
    report = _run_loop(runtime, paced_source(source, fps), wanted, outputs=[seen])
    turns.add(ANSWERS.format(PACED.format(fps)), [report.fps])
    turns.add(AGE.format(PACED.format(fps)), seen.ages_ms)
    return seen.sequences


def _step_turn(runtime: Runtime, frame: Frame, turns: _Turns) -> None:
    timed = [runtime.classify(frame._replace(), timed=True).steps for _ in range(_STEP_FRAMES)]
    for step in STEPS:
        turns.add(ALONE.format(step), [steps[step] for steps in timed if steps is not None])


def _rate(run: Callable[[int], None], frames: int) -> float:
    started_at = time.perf_counter()
    run(frames)
    return frames / (time.perf_counter() - started_at)


def _run_loop(
    runtime: Runtime,
    source: str,
    frames: int,
    view: Optional[WholeView] = None,
    outputs: Sequence[Output] = (),
) -> LoopReport:
    """The report of a loop over so many frames, as `legoclf camera` runs it."""
    stop = threading.Event()
    view = _AgedView(runtime.labels) if view is None else view
    with open_source(source) as opened, Outputs(list(outputs), opened.is_live, stop) as entered:
        return LiveLoop(opened, runtime, view, entered, LoopOptions(frames=frames)).run(stop)


def _series(turns: _Turns, ways: Sequence[str], source_fps: float) -> List[Series]:
    paced = PACED.format(source_fps)
    ages = [AGE.format(UNPACED), AGE.format(paced), *(ALONE.format(step) for step in STEPS)]
    return turns.series("1/s", [*ways, LOOP, ANSWERS.format(paced)]) + turns.series("ms", ages)


def _facts(description: str, source: str, frames: int, source_fps: float, tally: Tally) -> Dict[str, Any]:
    return {
        "runtime": description,
        "source": shown_command([source]),
        "frames": frames,
        "cores": available_cores(),
        "source_fps": source_fps or None,
        "paced": dict(tally._asdict()) if source_fps else None,
    }


def _notes(facts: Dict[str, Any], series: Sequence[Series], source_fps: float) -> List[str]:
    notes = [
        "{runtime} on {cores} cores".format(**facts),
        "the live loop: {frames} frames in each turn from {source}".format(**facts),
    ]
    for one in series:
        if one.name.startswith(AGE.format("")):
            every = [age for turn in one.turns for age in turn]
            notes.append(
                "{}: median {:.1f} ms, 95 % within {:.1f}, all within {:.1f} ms".format(
                    one.name, summarise(one.turns).p50, *np.percentile(every, [95, 100])
                )
            )
    if source_fps:
        notes.append(
            "{}: {answered} answers, {dropped} frames dropped for newer ones, {duplicates} answered twice, "
            "{disordered} out of order".format(PACED.format(source_fps), **facts["paced"])
        )
    return notes


def _frame(source: str) -> Frame:
    """A source's first frame."""
    from legoclf.benchmarks.device.inference import read_frames

    return read_frames(source, 1)[0]
