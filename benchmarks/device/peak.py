"""What this machine's CPU can do at most: FP32 FLOPs and bytes a second, found in a few seconds. Python 3.6.

FLOPs by a product of square matrices, in NumPy's BLAS and in ONNX Runtime where it is installed. Bytes by
passes over arrays far larger than the last cache, one thread a core: copy, add and scale, after STREAM
(https://www.cs.virginia.edu/stream/ref.html), the last two in place. Counted are the bytes that a pass reads
and writes. A store into an array that was not read would first fetch it (write-allocate), uncounted; in place
there is none, and a copy of that size bypasses the cache in the usual C libraries.

The peak is the fastest sample of all. Whatever disturbs a machine makes it slower, nothing makes it faster
than it is; a median would be a bound that a quiet moment breaks. The samples come in turns all the same: how
far the fastest of each turn lie apart tells how well the peak was found.
"""

import glob
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import numpy as np

from legoclf.benchmarks.device.clock import in_turns
from legoclf.benchmarks.device.matrix_model import matrix_model
from legoclf.benchmarks.device.result import Series
from legoclf.benchmarks.device.samples import middle
from legoclf.cores import available_cores
from legoclf.errors import LegoclfError
from legoclf.jetson.device import read_device

#: Turns and their length: with five kinds of work about 3 s, and half a second to set up.
TURNS = 8
SECONDS = 0.06

BLAS = "peak, matrix product, NumPy"
RUNTIME = "peak, matrix product, ONNX Runtime"
COPY = "peak, memory copy"
ADD = "peak, memory add"
SCALE = "peak, memory scale"
_PRODUCTS = (BLAS, RUNTIME)

#: Sides to choose from: BLAS libraries differ in which they are best at, and so do numbers of cores.
_SIDES = (256, 384, 512, 768, 1024, 2048)
_SIDE_SECONDS = 0.04
#: A product that lasts longer than this would seldom be left in peace on a machine with other work.
_LONG_SECONDS = 0.01

_MIB = 1 << 20
#: One array, in caches. STREAM asks for 4; the cores of a virtual machine may have two that look as one.
_CACHES = 8
_LEAST_ARRAY, _MOST_ARRAY = 64 * _MIB, 1024 * _MIB
#: The two arrays take at most an eighth of what memory is free.
_MEMORY_SHARE = 1.0 / 16


class Peak(NamedTuple):
    """What was found.

    series: the samples, in ms. work: FLOPs or bytes of one sample of each, by the series' name.
    """

    series: List[Series]
    work: Dict[str, int]

    @property
    def rates(self) -> List[Series]:
        """The samples as rates, GFLOP/s or GB/s: what one sample does is chosen anew in every run."""
        return [
            Series(
                each.name,
                _unit(each.name),
                [[self.work[each.name] / sample / 1e6 for sample in turn] for turn in each.turns],
            )
            for each in self.series
        ]

    @property
    def gflops(self) -> float:
        """FP32 FLOPs a nanosecond."""
        return max(self.rate(name) for name in self.work if name in _PRODUCTS)

    @property
    def bandwidth_gb_s(self) -> float:
        """Bytes a nanosecond from and to memory."""
        return max(self.rate(name) for name in self.work if name not in _PRODUCTS)

    def rate(self, name: str) -> float:
        """The fastest sample of a series: FLOPs or bytes a nanosecond."""
        return max(self._fastest(name))

    def lines(self) -> List[str]:
        """For people: each rate, and the interval of the fastest of each turn."""
        found = []
        for each in self.series:
            rate = middle(self._fastest(each.name))
            spread = "too few turns for an interval"
            if rate.low is not None and rate.high is not None:
                spread = "a turn's fastest: {:.1f}, 95 % interval {:.1f} to {:.1f}".format(
                    rate.value, rate.low, rate.high
                )
            found.append(
                "{}: {:.1f} {} ({})".format(each.name, self.rate(each.name), _unit(each.name), spread)
            )
        return found

    def _fastest(self, name: str) -> List[float]:
        """The rate of each turn's fastest sample."""
        return [max(turn) for turn in next(rates.turns for rates in self.rates if rates.name == name)]


def _unit(name: str) -> str:
    return "GFLOP/s" if name in _PRODUCTS else "GB/s"


def measure_peak(turns: int = TURNS, seconds: float = SECONDS, root: str = "/") -> Peak:
    """Run the test; 3 to 5 s at its defaults.

    Args:
        turns: of each kind of work; 6 or more, for an interval.
        seconds: of each turn.
        root: where the file system begins that tells the size of cache and memory.
    """
    side = _side()
    available = read_device(root).ram_available_mib
    size = array_bytes(last_cache_bytes(root), None if available is None else available * _MIB)
    with ExitStack() as stack:
        work: Dict[str, Callable[[], Any]] = {BLAS: _blas_product(side)}
        product = _runtime_product(side, stack)
        if product is not None:
            work[RUNTIME] = product
        work.update(_passes(size, stack))
        samples = in_turns(work, turns, seconds)
    amounts = dict.fromkeys(_PRODUCTS, 2 * side**3)
    amounts.update({COPY: 2 * size, ADD: 3 * size, SCALE: 4 * size})
    return Peak([Series(name, "ms", samples[name]) for name in work], {name: amounts[name] for name in work})


def last_cache_bytes(root: str = "/") -> Optional[int]:
    """The size of the largest cache that core 0 sees; None where the kernel does not tell."""
    sizes = []
    for path in glob.glob(os.path.join(root, "sys/devices/system/cpu/cpu0/cache/index*/size")):
        with open(path, encoding="ascii") as stream:
            text = stream.read().strip()
        unit = {"K": 1 << 10, "M": _MIB}.get(text[-1:], 1)
        digits = text.rstrip("KM")
        if digits.isdigit():
            sizes.append(int(digits) * unit)
    return max(sizes, default=None)


def array_bytes(cache: Optional[int], available: Optional[int]) -> int:
    """Bytes of one array of the memory test, a multiple of a page.

    Args:
        cache: bytes of the last cache. available: bytes of free memory. None for either: not known.
    """
    wanted = max(_LEAST_ARRAY, min(_MOST_ARRAY, _CACHES * (cache or 0)))
    if available is not None:
        wanted = min(wanted, int(available * _MEMORY_SHARE))
    return max(wanted // 4096 * 4096, 4096)


def _side() -> int:
    """The side at which NumPy's product is fastest here."""
    rates: Dict[int, float] = {}
    for side in _SIDES:
        run, fastest = _blas_product(side), float("inf")
        deadline = time.perf_counter() + _SIDE_SECONDS
        while time.perf_counter() < deadline or fastest == float("inf"):
            started_at = time.perf_counter()
            run()
            fastest = min(fastest, time.perf_counter() - started_at)
        if rates and fastest > _LONG_SECONDS:
            break
        rates[side] = side**3 / fastest
    return max(rates, key=lambda side: rates[side])


def _blas_product(side: int) -> Callable[[], Any]:
    left, right = _matrix(side), _matrix(side)
    out = np.empty_like(left)
    return lambda: np.dot(left, right, out=out)


def _runtime_product(side: int, stack: ExitStack) -> Optional[Callable[[], Any]]:
    """None where ONNX Runtime is not installed or does not start."""
    from legoclf.session import OnnxRuntimeSession

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "product.onnx")
        with open(path, "wb") as stream:
            stream.write(matrix_model(_matrix(side)))
        try:
            session = stack.enter_context(OnnxRuntimeSession(path))
        except LegoclfError:
            return None
    left = _matrix(side)
    return lambda: session.run(left)


def _matrix(side: int) -> np.ndarray:
    return np.random.RandomState(side).uniform(-1, 1, (side, side)).astype(np.float32)


def _passes(size: int, stack: ExitStack) -> Dict[str, Callable[[], Any]]:
    """Passes over two arrays of so many bytes, shared out among a thread for each core."""
    threads = available_cores()
    pool = stack.enter_context(ThreadPoolExecutor(threads))
    # Written to, as untouched zeros are all one page that lies in the cache.
    source, target = np.ones(size // 4, np.float32), np.ones(size // 4, np.float32)
    pairs = list(zip(np.array_split(source, threads), np.array_split(target, threads)))

    def over_all(act: Callable[[Any], Any]) -> Callable[[], Any]:
        return lambda: list(pool.map(act, pairs))

    return {
        COPY: over_all(lambda pair: np.copyto(pair[1], pair[0])),
        ADD: over_all(lambda pair: np.add(pair[0], pair[1], out=pair[1])),
        SCALE: over_all(lambda pair: [np.multiply(each, np.float32(1), out=each) for each in pair]),
    }
