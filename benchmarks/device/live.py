"""The live loop against the bare session: ratios from turns of one run, on a Jetson as on a laptop.

The bare session runs on a tensor that lies ready, again and again. The loop does all the rest beside it: it
reads frames, prepares them, keeps the order and smooths the answers. Runs on Python 3.6.
"""

import functools
import statistics
import threading
import time
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.bundle import ONNX_MODEL, Bundle
from legoclf.cores import available_cores
from legoclf.jetson.loop import LiveLoop, LoopOptions
from legoclf.jetson.output_worker import Outputs
from legoclf.jetson.runtime import Runtime, open_runtime
from legoclf.jetson.smoothing import SmoothingOptions
from legoclf.jetson.source import open_source
from legoclf.jetson.views import WholeView
from legoclf.session import OnnxRuntimeSession

#: One thread calls the session that the loop uses.
OWN = "bare, the loop's own session, one caller"

#: As many threads call it as the loop has at work on it.
PARALLEL = "bare, the loop's own session, {} callers"

#: One thread calls ONNX Runtime as it is by itself: on all cores, with threads that spin while they wait.
ALL_CORES = "bare, a session on all cores, one caller"

_WARM_UP_FRAMES = 10


class LiveResult(NamedTuple):
    """Frames a second of each turn.

    runtime: what ran; source: where its frames came from; frames: in each turn.
    bare: by the way the session was called. loop: of the live loop. age_ms: from capture to answer, of the
    last turn. steps_ms: medians of one frame at a time.
    """

    runtime: str
    source: str
    cores: int
    frames: int
    bare: Dict[str, List[float]]
    loop: List[float]
    age_ms: Dict[str, float]
    steps_ms: Dict[str, float]

    @property
    def ratios(self) -> Dict[str, Tuple[float, float, float]]:
        """The loop's rate over each bare one: lower quartile, median and upper quartile of the turns."""
        found = {}
        for name, rates in self.bare.items():
            low, median, high = np.percentile(np.array(self.loop) / np.array(rates), [25, 50, 75])
            found[name] = (float(low), float(median), float(high))
        return found

    def as_json(self) -> Dict[str, Any]:
        """The figures with their raw samples."""
        return dict(self._asdict(), ratios={name: middle for name, (_, middle, _) in self.ratios.items()})

    def as_text(self) -> str:
        """A table, the ratios last."""
        lines = [
            "{} on {} cores".format(self.runtime, self.cores),
            "{}, {} turns of {} frames".format(self.source, len(self.loop), self.frames),
            "{:<44} {:>9}".format("", "frames/s"),
        ]
        for name, rates in [*self.bare.items(), ("the live loop", self.loop)]:
            lines.append("{:<44} {:>9.1f}".format(name, statistics.median(rates)))
        lines.append(
            "from capture to answer: median {median:.1f} ms, 95 % within {p95:.1f} ms".format(**self.age_ms)
        )
        steps = ("{} {:.2f}".format(name, value) for name, value in self.steps_ms.items())
        lines.append("one frame by itself, median ms: " + ", ".join(steps))
        for name, (low, middle, high) in self.ratios.items():
            lines.append(
                "the live loop, of {}: {:.0%} (quartiles {:.0%} and {:.0%})".format(name, middle, low, high)
            )
        return "\n".join(lines) + "\n"


def measure(bundle: Bundle, backend: str, source: str, frames: int, rounds: int) -> LiveResult:
    """Run the ways in turns.

    Args:
        backend: as of :func:`legoclf.jetson.runtime.open_runtime`.
        source: URI of one that never lets the loop wait.
        frames: in each turn, two or more.
        rounds: turns of each.
    """
    with open_runtime(bundle, backend) as runtime, ExitStack() as stack:
        tensor = runtime.preprocess(_frame(source))[None]
        ways = _bare_ways(bundle, runtime, tensor, stack)
        bare: Dict[str, List[float]] = {name: [] for name in ways}
        loop = []
        _run_loop(runtime, source, _WARM_UP_FRAMES)
        for run in ways.values():
            _rate(run, _WARM_UP_FRAMES)
        for _ in range(rounds):
            for name, run in ways.items():
                bare[name].append(_rate(run, frames))
            report = _run_loop(runtime, source, frames)
            loop.append(report.fps)
        steps_ms = _steps_ms(runtime, source, frames)
        description = runtime.description
    return LiveResult(
        description, source, available_cores(), frames, bare, loop, dict(report.age_ms), steps_ms
    )


def _bare_ways(
    bundle: Bundle, runtime: Runtime, tensor: np.ndarray, stack: ExitStack
) -> Dict[str, Callable[[int], None]]:
    """Each runs so many frames on the session alone."""
    own = functools.partial(_repeat, lambda: runtime.run_tensor(tensor))
    ways: Dict[str, Callable[[int], None]] = {OWN: own}
    if runtime.parallel > 1:
        ways[PARALLEL.format(runtime.parallel)] = functools.partial(_at_once, own, runtime.parallel)
    if runtime.description.startswith("ONNX Runtime"):
        session = stack.enter_context(OnnxRuntimeSession(bundle.file(ONNX_MODEL)))
        ways[ALL_CORES] = functools.partial(_repeat, lambda: session.run(tensor))
    return ways


def _repeat(run: Callable[[], Any], frames: int) -> None:
    for _ in range(frames):
        run()


def _at_once(run: Callable[[int], None], callers: int, frames: int) -> None:
    """Share the frames out among threads."""
    shares = [frames // callers + (index < frames % callers) for index in range(callers)]
    threads = [threading.Thread(target=run, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _rate(run: Callable[[int], None], frames: int) -> float:
    started_at = time.perf_counter()
    run(frames)
    return frames / (time.perf_counter() - started_at)


def _run_loop(runtime: Runtime, source: str, frames: int) -> Any:
    """The report of a loop over so many frames, as `legoclf camera` runs it, but with no output."""
    stop = threading.Event()
    view = WholeView(runtime.labels, None, SmoothingOptions(), 5)
    with open_source(source) as opened, Outputs([], opened.is_live, stop) as outputs:
        return LiveLoop(opened, runtime, view, outputs, LoopOptions(frames=frames)).run(stop)


def _steps_ms(runtime: Runtime, source: str, frames: int) -> Dict[str, float]:
    frame = _frame(source)
    steps: List[Optional[Dict[str, float]]] = [
        runtime.classify(frame._replace(), timed=True).steps for _ in range(frames)
    ]
    times = [each for each in steps if each is not None]
    return {name: statistics.median(each[name] for each in times) for name in times[0]}


def _frame(source: str) -> Any:
    with open_source(source) as opened:
        frame = None
        while frame is None and not opened.ended:
            frame = opened.read(1.0)
    return frame
