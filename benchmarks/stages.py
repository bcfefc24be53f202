"""What each stage before the head takes alone: decode, preprocess, augment, extract.

The very functions of `legoclf retrain`, one stage at a time on what the stage before has left in memory: on
one thread, and on as many as there are cores. Rates count images, each with its plain view and its augmented
ones, so the times that an image spends in the stages add up.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from legoclf.benchmarks.device.clock import in_turns
from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.benchmarks.extraction import DISTORTIONS
from legoclf.contract import InputContract
from legoclf.cores import available_cores
from legoclf.image import decode_image, decode_reduced
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.retrain.augment import augmented_view, reduce_for_views, view_random
from legoclf.retrain.engines import Engine

ONE_THREAD, ALL_CORES = "one thread", "all cores"

#: Of decoded images and tensors that lie ready: past it no further image is taken.
MOST_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Prepared:
    """One image as each stage finds it.

    image, reduced: uint8 [H, W, 3], whole and as views are cut from. content_sha256: of the file, in hex.
    tensors: float32 [3, h, w], the plain view first.
    """

    path: str
    content_sha256: str
    image: np.ndarray
    reduced: np.ndarray
    tensors: list[np.ndarray]

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return sum(array.nbytes for array in (self.image, self.reduced, *self.tensors))


class Stages:
    """The stages before the head, each a function of a prepared image.

    Args:
        engine: runs the network, on its caller's thread.
        views: augmented views beside the plain one.
    """

    def __init__(self, engine: Engine, contract: InputContract, views: int, seed: int = 0) -> None:
        self.engine = engine
        self.contract = contract
        self.views = views
        self.seed = seed
        self._fit = fastest_fit()

    def all(self) -> dict[str, Callable[[Prepared], object]]:
        """By name, in their order."""
        stages: dict[str, Callable[[Prepared], object]] = {
            "decode": lambda one: self.decode(one.path),
            "preprocess": lambda one: self.preprocess(one.image),
        }
        if self.views:
            stages["augment"] = lambda one: list(self.augment(one.reduced, one.content_sha256))
        return {**stages, "extract": lambda one: [self.engine.features(tensor) for tensor in one.tensors]}

    def decode(self, path: str) -> tuple[str, np.ndarray, np.ndarray]:
        """Read, hash and decode: whole, and once more reduced where there are views."""
        data = Path(path).read_bytes()
        content, image = sha256(data).hexdigest(), decode_image(data, path)
        if not self.views:
            return content, image, image
        return content, image, decode_reduced(data, path, self.contract.height, self.contract.width)

    def preprocess(self, image: np.ndarray) -> np.ndarray:
        """The plain view."""
        return preprocess(image, self.contract, self._fit)

    def augment(self, reduced: np.ndarray, content_sha256: str) -> Iterator[np.ndarray]:
        """The augmented views, with all four distortions."""
        if self.views:
            reduced = reduce_for_views(reduced, self.contract, self._fit)
        for view in range(1, 1 + self.views):
            random = view_random(self.seed, content_sha256, view)
            yield augmented_view(reduced, self.contract, DISTORTIONS, random, self._fit)

    def prepare(self, paths: Sequence[str]) -> list[Prepared]:
        """What the stages are measured on: the first of the images, at least one, that fit in memory."""
        made: list[Prepared] = []
        left = MOST_BYTES
        for path in paths:
            content, image, reduced = self.decode(path)
            tensors = [self.preprocess(image), *self.augment(reduced, content)]
            made.append(Prepared(path, content, image, reduced, tensors))
            left -= made[-1].nbytes
            if left < 0:
                break
        return made


def measure_stages(stages: Stages, paths: Sequence[str], rounds: int, seconds: float) -> Measured:
    """Images a second of each stage before the head, on one thread and on all cores, in turns.

    An :class:`~legoclf.retrain.extract.Extractor` has run before: it sets OpenCV to one thread a call.

    Args:
        seconds: of each stage in a turn; a stage works through all images at least once.
    """
    prepared = stages.prepare(paths)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(available_cores()))
        work: dict[str, Callable[[], object]] = {}
        for name, do in stages.all().items():
            work[f"{name}, {ONE_THREAD}"] = partial(_one_after_the_other, do, prepared)
            work[f"{name}, {ALL_CORES}"] = partial(_on_the_pool, pool, do, prepared)
        in_turns(work, 1, 0.0)
        turns = in_turns(work, rounds, seconds)
    series = [
        Series(name, "1/s", [[1000 * len(prepared) / sample for sample in turn] for turn in found])
        for name, found in turns.items()
    ]
    note = (
        f"stages: {len(prepared)} images, each with its plain view and {stages.views} augmented ones; rates "
        "are images a second"
    )
    return Measured(
        series, [_scaling(name) for name in stages.all()], {"stage_images": len(prepared), "notes": [note]}
    )


def _one_after_the_other(do: Callable[[Prepared], object], prepared: Sequence[Prepared]) -> None:
    for one in prepared:
        do(one)


def _on_the_pool(
    pool: ThreadPoolExecutor, do: Callable[[Prepared], object], prepared: Sequence[Prepared]
) -> None:
    list(pool.map(do, prepared))


def _scaling(name: str) -> Ratio:
    """What all cores give a stage, of one thread's rate."""
    return Ratio(f"{name}, {ALL_CORES}, of {ONE_THREAD}", f"{name}, {ALL_CORES}", f"{name}, {ONE_THREAD}")
