"""Feature extraction as `legoclf retrain` does it, against ONNX Runtime alone: ratios from one run."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from legoclf.contract import unit_range_contract
from legoclf.cores import available_cores
from legoclf.errors import LegoclfError
from legoclf.image import iter_image_files, read_image
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.extract import Extractor, Request
from legoclf.retrain.feature_cache import FeatureCache
from legoclf.retrain.feature_vector import FeatureVector, default_cache_dir, load_feature_vector
from legoclf.session import OnnxRuntimeSession

#: Batch sizes tried for the bare rate.
BARE_BATCH_SIZES = (1, 4, 16)


@dataclass(frozen=True)
class ExtractionResult:
    """Seconds of each round, by what ran; all ran ``images`` images a round."""

    images: int
    cores: int
    seconds: dict[str, list[float]]

    def rate(self, name: str) -> float:
        """Images a second of the median round."""
        return self.images / statistics.median(self.seconds[name])

    @property
    def bare(self) -> str:
        """The fastest way to call ONNX Runtime alone."""
        return max((name for name in self.seconds if name != "extraction"), key=self.rate)

    @property
    def ratio(self) -> float:
        """Rate of extraction over the best bare rate."""
        return self.rate("extraction") / self.rate(self.bare)

    def as_json(self) -> dict[str, object]:
        """The figures with their raw samples."""
        return {
            "images": self.images,
            "cores": self.cores,
            "seconds": self.seconds,
            "images_per_second": {name: self.rate(name) for name in self.seconds},
            "bare": self.bare,
            "ratio": self.ratio,
        }

    def as_text(self) -> str:
        """A table, the ratio last."""
        lines = [f"{self.images} images a round on {self.cores} cores", f"{'':<44} {'images/s':>9}"]
        lines += [f"{name:<44} {self.rate(name):>9.1f}" for name in self.seconds]
        lines.append(f"extraction reaches {self.ratio:.1%} of the bare rate ({self.bare})")
        return "\n".join(lines) + "\n"


def measure(image_dir: Path | None, most_images: int, rounds: int) -> ExtractionResult:
    """Measure extraction and the bare rate in turns.

    Args:
        image_dir: where images are read from; None makes 640x480 JPEGs.
        most_images: images a round at most.
        rounds: turns of each.
    """
    vector = load_feature_vector(None, cache_dir=default_cache_dir())
    with tempfile.TemporaryDirectory() as scratch:
        paths = _images(image_dir, Path(scratch), most_images)
        candidates = _bare_candidates(vector, paths)
        candidates["extraction"] = lambda: _extract(vector, paths)
        seconds: dict[str, list[float]] = {name: [] for name in candidates}
        for turn in range(rounds + 1):
            for name, work in candidates.items():
                start = time.perf_counter()
                work()
                if turn:  # the first turn warms up
                    seconds[name].append(time.perf_counter() - start)
    return ExtractionResult(len(paths), available_cores(), seconds)


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


def _extract(vector: FeatureVector, paths: Sequence[Path]) -> None:
    """Extraction as `legoclf retrain` does it, with a cache that is empty at the start."""
    contract = unit_range_contract(vector.width, vector.height)
    with (
        tempfile.TemporaryDirectory() as scratch,
        FeatureCache(Path(scratch), {}, vector.feature_size) as cache,
        OnnxRuntimeSession(str(vector.onnx_path), threads=1) as session,
    ):
        extractor = Extractor(session, contract, cache, Augmentation(), seed=0)
        for result in extractor.extract([Request(str(path)) for path in paths]):
            if result.error is not None:
                raise result.error


def _bare_candidates(vector: FeatureVector, paths: Sequence[Path]) -> dict[str, Callable[[], None]]:
    """Ways to run the network over as many tensors as there are images, without reading any."""
    contract = unit_range_contract(vector.width, vector.height)
    tensor = preprocess(read_image(str(paths[0])), contract, fastest_fit())
    count, cores = len(paths), available_cores()
    shared = OnnxRuntimeSession(str(vector.onnx_path))
    single = OnnxRuntimeSession(str(vector.onnx_path), threads=1)
    candidates: dict[str, Callable[[], None]] = {}
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

        candidates[f"bare, one run on all cores, batch {size}"] = all_cores_a_run
        candidates[f"bare, one run a core, batch {size}"] = a_run_a_core
    return candidates


def _run_rest(session: OnnxRuntimeSession, batch: np.ndarray, count: int) -> None:
    if count % len(batch):
        session.run(batch[: count % len(batch)])
