"""Feature extraction as `legoclf retrain` does it, against ONNX Runtime alone: ratios from one run.

Rates count passes through the network: one for each view of an image.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np

from legoclf.contract import unit_range_contract
from legoclf.cores import available_cores
from legoclf.errors import LegoclfError
from legoclf.image import iter_image_files, read_image
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.engines import Engine, open_engine
from legoclf.retrain.extract import Extractor, Request
from legoclf.retrain.feature_cache import FeatureCache
from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector
from legoclf.session import OnnxRuntimeSession
from legoclf.user_cache import default_cache_dir

#: Batch sizes tried for the bare rate.
BARE_BATCH_SIZES = (1, 4, 16)

#: The distortions of the views: all four of retrain.py's.
DISTORTIONS = Augmentation(random_crop=10, random_scale=10, random_brightness=10, flip_left_right=True)

#: Turns to find the fastest of them.
CANDIDATE_ROUNDS = 3


@dataclass(frozen=True)
class ExtractionResult:
    """Seconds of each round of ``images`` images, ``passes`` through the network.

    candidates: the ways to call ONNX Runtime alone, tried first. bare: the fastest of them, in turns
    with extraction. extraction: by engine, ONNX Runtime's first.
    """

    images: int
    passes: int
    cores: int
    candidates: dict[str, list[float]]
    bare: list[float]
    extraction: dict[str, list[float]]

    @property
    def fastest(self) -> str:
        """The fastest way to call ONNX Runtime alone."""
        return min(self.candidates, key=lambda name: statistics.median(self.candidates[name]))

    def ratios(self) -> dict[str, list[float]]:
        """What is compared, and its ratio of rates in each turn."""
        [first, *others] = self.extraction
        found = {
            f"extraction, {engine}, of the bare rate": _ratios(self.bare, seconds)
            for engine, seconds in self.extraction.items()
        }
        for engine in others:
            name = f"extraction, {engine}, of extraction, {first}"
            found[name] = _ratios(self.extraction[first], self.extraction[engine])
        return found

    def rate(self, seconds: Sequence[float]) -> float:
        """Passes a second of the median round."""
        return self.passes / statistics.median(seconds)

    def as_json(self) -> dict[str, object]:
        """The figures with their raw samples, in seconds."""
        ratios = {name: statistics.median(each) for name, each in self.ratios().items()}
        return {**asdict(self), "fastest": self.fastest, "ratios": ratios}

    def as_text(self) -> str:
        """A table, the ratios last."""
        lines = [
            f"{self.images} images, {self.passes} passes a round on {self.cores} cores",
            f"{'':<44} {'passes/s':>9}",
        ]
        lines += [f"{name:<44} {self.rate(seconds):>9.1f}" for name, seconds in self.candidates.items()]
        lines.append(f"{'in turns: ' + self.fastest:<44} {self.rate(self.bare):>9.1f}")
        for engine, seconds in self.extraction.items():
            lines.append(f"{'in turns: extraction, ' + engine:<44} {self.rate(seconds):>9.1f}")
        for name, ratios in self.ratios().items():
            low, middle, high = statistics.quantiles(ratios, n=4)
            lines.append(
                f"{name}: {middle:.0%} (median of {len(ratios)} turns; quartiles {low:.0%} and {high:.0%})"
            )
        return "\n".join(lines) + "\n"


def _ratios(reference: Sequence[float], own: Sequence[float]) -> list[float]:
    """Rate over the rate of the reference, of each pair of turns, from their seconds."""
    return [theirs / ours for theirs, ours in zip(reference, own, strict=True)]


def measure(
    image_dir: Path | None, most_images: int, rounds: int, views: int, extractor: str, precision: str
) -> ExtractionResult:
    """Find the fastest bare way, then measure it and extraction in turns.

    Args:
        image_dir: where images are read from; None makes 640x480 JPEGs.
        most_images: images a round at most.
        rounds: turns of each, two or more.
        views: augmented views of each image beside the plain one.
        extractor, precision: the engine, measured beside ONNX Runtime if it is another.
    """
    vector = load_feature_vector(None, cache_dir=Path(default_cache_dir()))
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        paths = _images(image_dir, Path(scratch), most_images)
        passes = len(paths) * (1 + views)
        # Loaded once, for the bare ways as for extraction: it is the rate that is measured.
        shared = OnnxRuntimeSession(str(vector.onnx_path))
        single = OnnxRuntimeSession(str(vector.onnx_path), threads=1)
        ways = _bare_ways(_tensor(vector, paths[0]), passes, shared, single)
        candidates = _in_turns(ways, CANDIDATE_ROUNDS)
        fastest = min(candidates, key=lambda name: statistics.median(candidates[name]))
        work = {"bare": ways[fastest]}
        for name in dict.fromkeys(["onnxruntime", extractor]):
            engine = stack.enter_context(
                open_engine(name, vector, precision if name == extractor else "fp32")
            )
            work[engine.description] = partial(_extract, vector, engine, paths, views)
        turns = _in_turns(work, rounds)
    bare = turns.pop("bare")
    return ExtractionResult(len(paths), passes, available_cores(), candidates, bare, turns)


def _in_turns(work: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of each work, one after the other; a first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, do in work.items():
            start = time.perf_counter()
            do()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _images(image_dir: Path | None, scratch: Path, most: int) -> list[Path]:
    if image_dir is None:
        return make_photos(scratch, most)
    paths = [Path(path) for path in iter_image_files(str(image_dir))]
    if not paths:
        raise LegoclfError(f"{image_dir}: holds no image")
    # Spread over the whole set, not the first class alone.
    return paths[:: max(1, len(paths) // most)][:most]


def make_photos(folder: Path, count: int) -> list[Path]:
    """Write 640x480 JPEGs with the detail of a photo: smooth shapes, edges and sensor noise."""
    from PIL import Image

    random = np.random.default_rng(0)
    paths = []
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        levels = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), np.int16)
        levels = levels + random.integers(-8, 9, (480, 640, 1), dtype=np.int16)
        levels[100:380, 150 + index % 100 : 450] //= 2
        path = folder / f"{index:04d}.jpg"
        Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
        paths.append(path)
    return paths


def _extract(vector: FeatureVector, engine: Engine, paths: Sequence[Path], views: int) -> None:
    """Extraction as `legoclf retrain` does it, with a cache that is empty at the start."""
    contract = unit_range_contract(vector.width, vector.height)
    with (
        tempfile.TemporaryDirectory() as scratch,
        FeatureCache(Path(scratch), {}, vector.feature_size) as cache,
    ):
        extractor = Extractor(engine, contract, cache, DISTORTIONS, seed=0)
        for result in extractor.extract([Request(str(path), 1 + views) for path in paths]):
            if result.error is not None:
                raise result.error


def _tensor(vector: FeatureVector, path: Path) -> np.ndarray:
    """An image as the network takes it, float32 [3, H, W]."""
    contract = unit_range_contract(vector.width, vector.height)
    return preprocess(read_image(str(path)), contract, fastest_fit())


def _bare_ways(
    tensor: np.ndarray, count: int, shared: OnnxRuntimeSession, single: OnnxRuntimeSession
) -> dict[str, Callable[[], None]]:
    """Ways to run the network over ``count`` tensors without reading any.

    shared: a session that runs on all cores; single: one that runs on its caller's thread.
    """
    cores = available_cores()
    ways: dict[str, Callable[[], None]] = {}
    for size in BARE_BATCH_SIZES:
        batch = np.stack([tensor] * size)

        def all_cores_a_run(batch: np.ndarray = batch) -> None:
            for _ in range(count // len(batch)):
                shared.run(batch)
            _run_rest(shared, batch, count)

        def a_run_a_core(batch: np.ndarray = batch) -> None:
            with ThreadPoolExecutor(cores) as pool:
                list(pool.map(single.run, repeat(batch, count // len(batch))))
            _run_rest(single, batch, count)

        ways[f"bare, one run on all cores, batch {size}"] = all_cores_a_run
        ways[f"bare, one run a core, batch {size}"] = a_run_a_core
    return ways


def _run_rest(session: OnnxRuntimeSession, batch: np.ndarray, count: int) -> None:
    if count % len(batch):
        session.run(batch[: count % len(batch)])
