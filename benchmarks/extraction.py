"""Feature extraction as `legoclf retrain` does it, against ONNX Runtime alone: ratios from one run.

Rates count passes through the network: one for each view of an image.
"""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np

from legoclf.benchmarks.device.clock import in_turns
from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.contract import unit_range_contract
from legoclf.cores import available_cores
from legoclf.errors import LegoclfError
from legoclf.image import iter_image_files, read_image
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.engines import Engine, open_engine
from legoclf.retrain.extract import Extractor, Request
from legoclf.retrain.feature_cache import FeatureCache
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.session import OnnxRuntimeSession

#: Batch sizes tried for the bare rate.
BARE_BATCH_SIZES = (1, 4, 16)

#: The distortions of the views: all four of retrain.py's.
DISTORTIONS = Augmentation(random_crop=10, random_scale=10, random_brightness=10, flip_left_right=True)

#: Turns to find the fastest of them.
CANDIDATE_ROUNDS = 3


#: Of the series that every extraction is held against.
BARE = "bare ONNX Runtime"


def measure(
    vector: FeatureVector,
    image_dir: Path | None,
    most_images: int,
    rounds: int,
    views: int,
    extractor: str = "onnxruntime",
    precision: str = "fp32",
) -> Measured:
    """Find the fastest bare way, then measure it and extraction in turns: passes a second.

    Args:
        image_dir: where images are read from; None makes 640x480 JPEGs.
        most_images: images a round at most.
        rounds: turns of each, a sample in each; 6 or more for intervals.
        views: augmented views of each image beside the plain one.
        extractor, precision: the engine, measured beside ONNX Runtime if it is another.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        paths = _images(image_dir, Path(scratch), most_images)
        passes = len(paths) * (1 + views)
        # Loaded once, for the bare ways as for extraction: it is the rate that is measured.
        shared = OnnxRuntimeSession(str(vector.onnx_path))
        single = OnnxRuntimeSession(str(vector.onnx_path), threads=1)
        ways = _bare_ways(_tensor(vector, paths[0]), passes, shared, single)
        tried = rates_in_turns(ways, CANDIDATE_ROUNDS, passes)
        fastest = max(tried, key=lambda each: each.summary.median.value).name
        work = {BARE: ways[fastest]}
        for name in dict.fromkeys(["onnxruntime", extractor]):
            kind = precision if name == extractor else "fp32"
            engine = stack.enter_context(open_engine(name, vector, kind))
            work[f"extraction, {name} {kind}"] = partial(_extract, vector, engine, paths, views)
        series = rates_in_turns(work, rounds, passes)
    facts = {"images": len(paths), "views": views, "passes": passes, "bare": fastest}
    notes = [
        f"extraction: {len(paths)} images, {passes} passes through the network a round; rates are passes "
        f"a second; fastest bare way: {fastest.removeprefix('bare, ')}"
    ]
    return Measured([*series, *tried], _ratios([each.name for each in series]), {**facts, "notes": notes})


def rates_in_turns(work: dict[str, Callable[[], object]], rounds: int, count: int) -> list[Series]:
    """How much each work does a second, by its name: a sample a turn; a first round warms up.

    Args:
        count: what one call does, such as passes through the network.
    """
    in_turns(work, 1, 0.0)
    milliseconds = in_turns(work, rounds, 0.0)
    return [
        Series(name, "1/s", [[1000 * count / sample for sample in turn] for turn in turns])
        for name, turns in milliseconds.items()
    ]


def _ratios(names: Sequence[str]) -> list[Ratio]:
    """Each extraction of the bare rate, and the other engine's of the first one's."""
    bare, first, *others = names
    ratios = [Ratio(f"{name}, of the bare rate", name, bare) for name in (first, *others)]
    return ratios + [Ratio(f"{name}, of {first}", name, first) for name in others]


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
) -> dict[str, Callable[[], object]]:
    """Ways to run the network over ``count`` tensors without reading any.

    shared: a session that runs on all cores; single: one that runs on its caller's thread.
    """
    cores = available_cores()
    ways: dict[str, Callable[[], object]] = {}
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
