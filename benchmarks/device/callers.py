"""How many images a second go through, called by one thread or by several."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Callable, Dict, Optional

import numpy as np

from legoclf.bundle import ONNX_MODEL, Bundle
from legoclf.jetson.runtime import Runtime
from legoclf.session import OnnxRuntimeSession

#: One thread calls the session of a runtime.
OWN = "bare, the runtime's own session, one caller"

#: As many threads call it as run at once.
PARALLEL = "bare, the runtime's own session, {} callers"

#: One thread calls ONNX Runtime as it is by itself: on all cores, with threads that spin while they wait.
ALL_CORES = "bare, a session on all cores, one caller"


def images_a_second(run: Callable[[], Any], seconds: float, images: int = 1) -> float:
    """Call again and again for so long, at least once.

    Args:
        images: that one call does.
    """
    calls = 0
    started_at = time.perf_counter()
    while True:
        run()
        calls += 1
        passed = time.perf_counter() - started_at
        if passed >= seconds:
            return calls * images / passed


class Callers(object):
    """Threads that call at the same time; a context manager. Each lives as long as this does."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: Optional[ThreadPoolExecutor] = ThreadPoolExecutor(count, "caller")

    def __enter__(self) -> "Callers":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = None

    def images_a_second(self, run: Callable[[], Any], seconds: float) -> float:
        """The sum of what each does; each call is one image, and the last of each may go beyond the end.

        Raises:
            what ``run`` raised in a thread.
        """
        assert self._pool is not None, "closed"
        rates = [self._pool.submit(images_a_second, run, seconds) for _ in range(self.count)]
        return sum(rate.result() for rate in rates)

    def do(self, run: Callable[[], Any], calls: int) -> None:
        """Share so many calls out, and wait for all.

        Raises:
            what ``run`` raised in a thread.
        """
        assert self._pool is not None, "closed"
        shares = [calls // self.count + (index < calls % self.count) for index in range(self.count)]
        for future in [self._pool.submit(_repeat, run, share) for share in shares]:
            future.result()


class Bare(object):
    """One way of running a session alone, on a tensor that lies ready.

    Args:
        run: one image.
        callers: who calls it; None for this thread.
    """

    def __init__(self, run: Callable[[], Any], callers: Optional[Callers] = None) -> None:
        self._run = run
        self._callers = callers

    def images_a_second(self, seconds: float) -> float:
        """The rate over so long."""
        if self._callers is None:
            return images_a_second(self._run, seconds)
        return self._callers.images_a_second(self._run, seconds)

    def do(self, calls: int) -> None:
        """So many images."""
        if self._callers is None:
            _repeat(self._run, calls)
        else:
            self._callers.do(self._run, calls)


def bare_ways(bundle: Bundle, runtime: Runtime, tensor: np.ndarray, stack: ExitStack) -> Dict[str, Bare]:
    """The ways by name: OWN; PARALLEL where the runtime takes several; ALL_CORES where it is ONNX Runtime.

    Args:
        tensor: float32 [1, 3, H, W].
        stack: what they need is entered there.
    """

    def own() -> Any:
        return runtime.run_tensor(tensor)

    ways = {OWN: Bare(own)}
    if runtime.parallel > 1:
        ways[PARALLEL.format(runtime.parallel)] = Bare(own, stack.enter_context(Callers(runtime.parallel)))
    if runtime.description.startswith("ONNX Runtime"):
        session = stack.enter_context(OnnxRuntimeSession(bundle.file(ONNX_MODEL)))
        ways[ALL_CORES] = Bare(lambda: session.run(tensor))
    return ways


def _repeat(run: Callable[[], Any], calls: int) -> None:
    for _ in range(calls):
        run()
