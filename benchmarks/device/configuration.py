"""One network at one batch, and the ways in which a benchmark measures it."""

import itertools
import time
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from legoclf.benchmarks.device.callers import Callers, images_a_second
from legoclf.benchmarks.device.runtimes import Opened
from legoclf.jetson.frame import Frame

#: Runs work for so many seconds; its images a second, and the board's mean watts meanwhile, None if not told.
Energy = Callable[[Callable[[float], float], float], Tuple[float, Optional[float]]]


class Configuration(object):
    """A network and a batch, and the ways in which they are measured. Each way gives one sample.

    Args:
        frames: classified in turn, each as a new one: nothing of a frame is left over from the last time.
        callers: threads that call at once where more than one inference runs at a time; else None.
        seconds: for a sample that is a rate.
    """

    def __init__(
        self, opened: Opened, batch: int, frames: Sequence[Frame], callers: Optional[Callers], seconds: float
    ) -> None:
        self.opened = opened
        self.batch = batch
        self.name = "{}, batch {}".format(opened.name, batch)
        self.steps: List[Dict[str, float]] = []
        self.watts: List[float] = []
        self._frames: Iterator[Frame] = itertools.cycle(frames)
        self._regions = None
        if batch > 1:
            self._regions = [(0, 0, frames[0].width, frames[0].height)] * batch
        self._tensor = np.stack([opened.runtime.preprocess(frames[0]._replace())] * batch)
        self._callers = callers
        self._seconds = seconds
        self.energy: Optional[Energy] = None

    def ways(self) -> Dict[str, Callable[[], float]]:
        """What is measured, by the names of the series without the configuration's."""
        ways = {"whole": self.whole, "bare session": self.bare, "throughput": self.throughput}
        if self._callers is not None:
            ways["throughput, {} callers".format(self._callers.count)] = self.throughput_at_once
        return ways

    def whole(self) -> float:
        """Milliseconds of one call, whose steps are kept in :attr:`steps`."""
        frame = next(self._frames)._replace()
        started_at = time.perf_counter()
        answers = self.opened.runtime.classify(frame, self._regions, timed=True)
        ended_at = time.perf_counter()
        assert answers.steps is not None
        self.steps.append(answers.steps)
        return (ended_at - started_at) * 1000.0

    def bare(self) -> float:
        """Milliseconds of the session alone, on tensors that lie ready."""
        started_at = time.perf_counter()
        self.opened.runtime.run_tensor(self._tensor)
        return (time.perf_counter() - started_at) * 1000.0

    def throughput(self) -> float:
        """Images a second, one call after the other, steps not timed; the watts go to :attr:`watts`."""
        if self.energy is None:
            return self._rate(self._seconds)
        rate, watts = self.energy(self._rate, self._seconds)
        if watts is not None:
            self.watts.append(watts)
        return rate

    def throughput_at_once(self) -> float:
        """Images a second, as many calls at once as the runtime runs."""
        assert self._callers is not None
        return self._callers.images_a_second(self._classify, self._seconds)

    def _rate(self, seconds: float) -> float:
        return images_a_second(self._classify, seconds, self.batch)

    def _classify(self) -> None:
        self.opened.runtime.classify(next(self._frames)._replace(), self._regions)
