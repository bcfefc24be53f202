"""Which kind of host memory is fastest on this very device: measured, for boards differ.

On a Jetson the GPU reads the CPU's memory, and a copy may be a waste; but the CPU reads page-locked memory 6
to 12 times slower on the Nano. So pageable memory and buffers on the device are the rule, and anything else
has to show here that it is faster.
"""

import time
from typing import Any, Callable, Dict, NamedTuple, Tuple

import numpy as np

from legoclf.jetson.cuda import Cuda
from legoclf.jetson.frame import Frame

#: How a frame goes up, the rule first: copied from where it is; copied by way of page-locked memory; read by
#: the kernels out of page-locked memory.
MEMORIES = ("pageable", "pinned", "mapped")

#: Another way must be faster by this much of the rule's time: less is noise.
MARGIN = 0.1

_WARM_UP_RUNS = 3
_RUNS = 15

Clock = Callable[[], float]


class MemoryChoice(NamedTuple):
    """What a self-test chose, and the median milliseconds of each way."""

    memory: str
    median_ms: Dict[str, float]

    def __str__(self) -> str:
        times = ", ".join("{} {:.2f} ms".format(name, ms) for name, ms in self.median_ms.items())
        return "{} memory ({})".format(self.memory, times)


def fastest(ways: Dict[str, Callable[[], None]], rule: str, clock: Clock = time.perf_counter) -> MemoryChoice:
    """Time each way in turn and choose: the rule, unless another is faster by :data:`MARGIN`.

    Args:
        ways: name to what is done once, the waiting for it included.
        rule: the name of the way that is taken without a reason to take another.
        clock: seconds.
    """
    times: Dict[str, list] = {name: [] for name in ways}
    # In turn, not one after the other: a clock frequency that rises meanwhile favours none.
    for run in range(_WARM_UP_RUNS + _RUNS):
        for name, way in ways.items():
            start = clock()
            way()
            if run >= _WARM_UP_RUNS:
                times[name].append((clock() - start) * 1000.0)
    medians = {name: float(np.median(all_ms)) for name, all_ms in times.items()}
    best = min(medians, key=lambda name: medians[name])
    if medians[best] > medians[rule] * (1.0 - MARGIN):
        best = rule
    return MemoryChoice(best, medians)


def choose_input_memory(
    preprocessor: Any, cuda: Cuda, frame: Frame, target_bytes: int, clock: Clock = time.perf_counter
) -> MemoryChoice:
    """Prepare a frame with each of :data:`MEMORIES`, and let the preprocessor use the fastest.

    Args:
        preprocessor: a :class:`legoclf.jetson.gpu_preprocess.GpuPreprocessor`.
        frame: of the size and format that the camera gives.
        target_bytes: size of the tensor.
    """
    stream, target = cuda.create_stream(), cuda.allocate(target_bytes)

    def way(memory: str) -> Callable[[], None]:
        def run() -> None:
            preprocessor.use_memory(memory)
            # Another frame each time, or it would not be uploaded again.
            preprocessor.prepare_on_device(frame._replace(), None, target, stream)
            cuda.synchronize(stream)

        return run

    try:
        choice = fastest({memory: way(memory) for memory in MEMORIES}, MEMORIES[0], clock)
        preprocessor.use_memory(choice.memory)
    finally:
        preprocessor.forget()
        cuda.free(target)
        cuda.destroy_stream(stream)
    return choice


def choose_output_memory(
    cuda: Cuda, shape: Tuple[int, ...], dtype: Any, clock: Clock = time.perf_counter
) -> MemoryChoice:
    """Whether results come back faster to pageable or to pinned memory, their reading by the CPU included.

    Args:
        shape, dtype: of the results of one run.
    """
    arrays = {"pageable": np.empty(shape, dtype), "pinned": cuda.pinned_empty(shape, dtype)}
    stream, source = cuda.create_stream(), cuda.allocate(arrays["pageable"].nbytes)

    def way(array: np.ndarray) -> Callable[[], None]:
        def run() -> None:
            cuda.copy_to_host(array, source, stream)
            cuda.synchronize(stream)
            array.copy()

        return run

    try:
        return fastest({name: way(array) for name, array in arrays.items()}, "pageable", clock)
    finally:
        cuda.free(source)
        cuda.destroy_stream(stream)
