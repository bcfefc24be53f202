"""Timing in turns: warm up until steady, then each piece of work in its turn, again and again.

Work that is compared takes turns within one process, so that a noisy machine slows all of it alike.
"""

import gc
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

import numpy as np

#: Calls of which the median is one look at the pace while warming up.
_WINDOW = 5

#: Warm when a window's median is at most this much faster than the fastest before it.
_STILL_GETTING_FASTER = 0.02

#: Windows in a row without getting faster that count as steady.
_STEADY_WINDOWS = 3

_OVERHEAD_CALLS = 2000


class WarmUp(NamedTuple):
    """calls: how many were made. is_steady: whether the pace had settled when the time was up."""

    calls: int
    is_steady: bool


def warm_up(run: Callable[[], Any], most_seconds: float = 10.0) -> WarmUp:
    """Call until it gets no faster for three windows of five calls; at least once, and so long at most."""
    deadline = time.perf_counter() + most_seconds
    calls, fastest, steady = 0, float("inf"), 0
    while steady < _STEADY_WINDOWS:
        window = []
        for _ in range(_WINDOW):
            window.append(_timed_ms(run))
            calls += 1
            if time.perf_counter() >= deadline:
                return WarmUp(calls, False)
        pace = float(np.median(window))
        steady = 0 if pace < fastest * (1 - _STILL_GETTING_FASTER) else steady + 1
        fastest = min(fastest, pace)
    return WarmUp(calls, True)


def in_turns(
    work: Dict[str, Callable[[], Any]],
    turns: int,
    seconds: float,
    most_samples: int = 1000,
    measure: Optional[Callable[[Callable[[], Any]], float]] = None,
) -> Dict[str, List[List[float]]]:
    """Milliseconds of each call of each work: ``turns`` turns of ``seconds`` each, at least one call.

    Python's garbage collector rests within a turn and runs between them.

    Args:
        work: what is called, by name.
        most_samples: a turn ends there too.
        measure: calls it once and gives milliseconds; None for the wall clock.

    Returns:
        for each name, its turns, each a list of samples in milliseconds.
    """
    measure = measure or _timed_ms
    samples: Dict[str, List[List[float]]] = {name: [] for name in work}
    with settled_garbage():
        for _ in range(turns):
            for name, run in work.items():
                samples[name].append(_turn(run, seconds, most_samples, measure))
    return samples


@contextmanager
def settled_garbage() -> Iterator[None]:
    """Keep what is alive now out of collections between turns: TensorFlow alone takes 0.2 s each time.

    Python has this from 3.7 on; before, nothing is done.
    """
    freeze, unfreeze = (getattr(gc, name, lambda: None) for name in ("freeze", "unfreeze"))
    gc.collect()
    freeze()
    try:
        yield
    finally:
        unfreeze()


def overhead_ms() -> float:
    """What the clock itself adds to a sample on this machine: the median of calls that do nothing."""
    return float(np.median([_timed_ms(_nothing) for _ in range(_OVERHEAD_CALLS)]))


def _turn(
    run: Callable[[], Any], seconds: float, most_samples: int, measure: Callable[[Callable[[], Any]], float]
) -> List[float]:
    samples: List[float] = []
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        deadline = time.perf_counter() + seconds
        while not samples or (time.perf_counter() < deadline and len(samples) < most_samples):
            samples.append(measure(run))
    finally:
        if was_enabled:
            gc.enable()
    return samples


def _timed_ms(run: Callable[[], Any]) -> float:
    started_at = time.perf_counter()
    run()
    return (time.perf_counter() - started_at) * 1000.0


def _nothing() -> None:
    pass
