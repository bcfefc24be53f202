"""Inference on this machine: each step of a frame and the whole, by precision and batch, in turns of one run.

A configuration is a network (a backend and a precision) and a batch. All configurations take turns, so that
their ratios hold where the machine drifts. A batch of N is one frame looked at in N regions, each the whole
frame, as the live loop gives the objects of a frame to the network: the frame goes to the network once, each
region is prepared by itself. Python 3.6.
"""

import itertools
import time
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from legoclf.benchmarks.device.callers import Callers
from legoclf.benchmarks.device.clock import in_turns, overhead_ms, warm_up
from legoclf.benchmarks.device.configuration import Configuration, Energy
from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.benchmarks.device.runtimes import Opened
from legoclf.benchmarks.device.samples import medians
from legoclf.errors import LegoclfError
from legoclf.jetson.frame import Frame
from legoclf.jetson.runtime import STEPS

#: Different frames that are classified in turn, as a camera's are.
FRAMES = 16

_READ_SECONDS = 10.0


#: Ways in which a configuration is measured at most; each gets as much of its turn.
_WAYS = 4


class Pace(NamedTuple):
    """How long to measure.

    turns: of each configuration. seconds: of each turn, a quarter for each way in which it is measured.
    warm_up_seconds: of each configuration, at most.
    """

    turns: int = 10
    seconds: float = 1.0
    warm_up_seconds: float = 10.0

    @property
    def way_seconds(self) -> float:
        """For each way, in each turn."""
        return self.seconds / _WAYS


DEFAULT_PACE = Pace()


def read_frames(source: str, count: int = FRAMES) -> List[Frame]:
    """The first frames of a source, to lie ready in memory.

    Raises:
        LegoclfError: it gives none.
    """
    from legoclf.jetson.source import open_source

    frames: List[Frame] = []
    deadline = time.monotonic() + _READ_SECONDS
    with open_source(source) as opened:
        while len(frames) < count and not opened.ended and time.monotonic() < deadline:
            frame = opened.read(1.0)
            if frame is not None:
                frames.append(frame)
    if not frames:
        raise LegoclfError("--source {}: gave no frame within {:g} s".format(source, _READ_SECONDS))
    if len({(frame.height, frame.width) for frame in frames}) > 1:
        frames = frames[:1]
    return frames


def measure(
    opened: Sequence[Opened],
    batches: Sequence[int],
    frames: Sequence[Frame],
    pace: Pace = DEFAULT_PACE,
    energy: Optional[Energy] = None,
    unsteady: Callable[[str], None] = lambda reason: None,
) -> Measured:
    """Warm every configuration up, and measure them in turns.

    Args:
        frames: at least one, all of one size.
        energy: measures watts; None where the board does not tell.
        unsteady: told of what did not settle.

    Raises:
        LegoclfError: no network takes any of the batches.
    """
    notes: List[str] = []
    with ExitStack() as stack:
        configurations = _configurations(opened, batches, frames, pace, stack, notes)
        for each in configurations:
            each.energy = energy
            _warm_up(each, pace, unsteady)
        work = {
            "{}, {}".format(way, each.name): run
            for each in configurations
            for way, run in each.ways().items()
        }
        # What a way gives is the sample. Those that are rates take all of their time for one.
        samples = in_turns(work, pace.turns, pace.way_seconds, measure=lambda run: float(run()))
    series: List[Series] = []
    for each in configurations:
        series += _series(each, samples)
    clock_ms = overhead_ms()
    facts: Dict[str, Any] = {
        "configurations": [_record(each) for each in configurations],
        "clock_overhead_ms": clock_ms,
        "notes": [*notes, *_notes(configurations, series, clock_ms)],
    }
    return Measured(series, _ratios(configurations, series), facts)


def _configurations(
    opened: Sequence[Opened],
    batches: Sequence[int],
    frames: Sequence[Frame],
    pace: Pace,
    stack: ExitStack,
    notes: List[str],
) -> List[Configuration]:
    found = []
    for one in opened:
        for batch in batches:
            if not one.takes(batch):
                most = one.most_batch
                sizes = str(most) if most == one.least_batch else "{} to {}".format(one.least_batch, most)
                notes.append("{}, batch {}: not measured, it takes {} at once".format(one.name, batch, sizes))
                continue
            callers = None
            if batch == 1 and one.runtime.parallel > 1:
                callers = stack.enter_context(Callers(one.runtime.parallel))
            found.append(Configuration(one, batch, frames, callers, pace.way_seconds))
    if not found:
        raise LegoclfError("nothing to measure: {}; name another --batch".format("; ".join(notes)))
    return found


def _warm_up(configuration: Configuration, pace: Pace, unsteady: Callable[[str], None]) -> None:
    warm = warm_up(configuration.whole, pace.warm_up_seconds)
    if not warm.is_steady:
        unsteady("{} had not settled after {:g} s".format(configuration.name, pace.warm_up_seconds))
    for run in configuration.ways().values():
        run()
    del configuration.steps[:]
    del configuration.watts[:]


def _series(each: Configuration, samples: Dict[str, List[List[float]]]) -> List[Series]:
    """Of one configuration: its steps, in their order, the whole, and the rest."""

    def of(way: str) -> List[List[float]]:
        return samples["{}, {}".format(way, each.name)]

    steps = _by_turns(each.steps, [len(turn) for turn in of("whole")])
    series = []
    for step in STEPS:
        turns = [[taken[step] for taken in turn] for turn in steps]
        if any(any(turn) for turn in turns):  # a step that this way has not takes none
            series.append(Series("{}, {}".format(step, each.name), "ms", turns))
    series.append(Series("whole, " + each.name, "ms", of("whole")))
    if each.batch > 1:
        per_image = [[whole / each.batch for whole in turn] for turn in of("whole")]
        series.append(Series("whole per image, " + each.name, "ms", per_image))
    for way in each.ways():
        if way != "whole":
            unit = "ms" if way == "bare session" else "1/s"
            series.append(Series("{}, {}".format(way, each.name), unit, of(way)))
    rates = of("throughput")
    if len(each.watts) == len(rates) and each.watts:
        series.append(Series("power, " + each.name, "W", [[watts] for watts in each.watts]))
        millijoules = [[watts * 1000.0 / turn[0]] for watts, turn in zip(each.watts, rates)]
        series.append(Series("energy per image, " + each.name, "mJ", millijoules))
    return series


def _by_turns(flat: List[Dict[str, float]], lengths: Sequence[int]) -> List[List[Dict[str, float]]]:
    ends = list(itertools.accumulate(lengths))
    return [flat[end - length : end] for end, length in zip(ends, lengths)]


def _ratios(configurations: Sequence[Configuration], series: Sequence[Series]) -> List[Ratio]:
    names = {one.name for one in series}
    first = configurations[0]
    ratios = [
        Ratio(
            "time per image, {}, over {}".format(each.name, first.name),
            _per_image(each),
            _per_image(first),
            "lower",
        )
        for each in configurations[1:]
    ]
    for each in configurations:
        for name, above, below in (
            ("compute over the bare session, ", "compute, ", "bare session, "),
            ("preprocessing, of the whole, ", "preprocess, ", "whole, "),
        ):
            if above + each.name in names:
                ratios.append(Ratio(name + each.name, above + each.name, below + each.name, "lower"))
    return ratios


def _per_image(each: Configuration) -> str:
    return ("whole, " if each.batch == 1 else "whole per image, ") + each.name


def _record(each: Configuration) -> Dict[str, Any]:
    opened = each.opened
    return {
        "name": each.name,
        "backend": opened.backend,
        "precision": opened.precision,
        "batch": each.batch,
        "graph": opened.graph,
        "engine": None if opened.engine is None else opened.engine.key,
        "description": opened.runtime.description,
    }


def _notes(configurations: Sequence[Configuration], series: Sequence[Series], clock_ms: float) -> List[str]:
    notes = sorted({"{}: {}".format(e.opened.name, e.opened.runtime.description) for e in configurations})
    names = tuple(step + ", " for step in STEPS)
    steps = [(float(np.median(medians(one.turns))), one.name) for one in series if one.name.startswith(names)]
    shortest, name = min(step for step in steps if step[0] > 0)
    notes.append(
        "the clock adds {:.5f} ms to a sample: {:.2f} % of the shortest step ({})".format(
            clock_ms, 100 * clock_ms / shortest, name
        )
    )
    if any(each.batch > 1 for each in configurations):
        notes.append(
            "a batch of N is one frame looked at in N regions, each all of it: the frame is converted, or "
            "goes up to the GPU, once, and each region is prepared by itself"
        )
    if any(one.unit == "mJ" for one in series):
        notes.append("watts and millijoules are the whole board's, what it takes when idle included")
    return notes
