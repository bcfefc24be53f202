"""Features of images: read, decode, fit, augment and run, on all cores, through the cache.

One worker a core does all of it for a chunk of images, with ONNX Runtime on that worker's thread
alone. Decoding, resizing and inference release Python's lock, so the cores never wait for one
another, and what a row is does not depend on their number.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from legoclf.contract import InputContract
from legoclf.errors import ImageError
from legoclf.image import decode_image
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.retrain.augment import Augmentation, augmented_view, view_random
from legoclf.retrain.feature_cache import FeatureCache, row_key
from legoclf.session import OnnxRuntimeSession

#: Tensors in one run of the network. Larger ones fall out of the cores' caches and are no faster.
BATCH_SIZE = 4


@dataclass(frozen=True)
class Request:
    """An image, and how many views of it are wanted: the plain one first, then augmented ones."""

    path: Path
    views: int = 1


@dataclass(frozen=True)
class Result:
    """Features of one image: float32 [views, D]; or the error that it met."""

    request: Request
    rows: np.ndarray | None = None
    error: ImageError | None = None


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Extractor:
    """Extracts features with one ONNX graph.

    Args:
        session: a graph with the one output ``features``, made with ``threads=1``.
        contract: the input contract of the graph.
        cache: where rows are looked up and kept; entered by the caller.
        augmentation: what the views after the first one look like.
        seed: seed of the views.
        workers: threads; None for one a core.
    """

    def __init__(
        self,
        session: OnnxRuntimeSession,
        contract: InputContract,
        cache: FeatureCache,
        augmentation: Augmentation,
        seed: int,
        workers: int | None = None,
    ) -> None:
        self.session = session
        self.contract = contract
        self.cache = cache
        self.augmentation = augmentation
        self.seed = seed
        self.workers = workers or available_cores()
        self._fit = fastest_fit()

    def extract(self, requests: Sequence[Request]) -> Iterator[Result]:
        """Features of images, in the order of the requests; few images are in memory at a time."""
        _one_thread_per_opencv_call()
        chunks = _chunks(requests)
        with ThreadPoolExecutor(self.workers) as pool:
            waiting: deque[Future[list[_Extracted]]] = deque()
            try:
                waiting.extend(pool.submit(self._chunk, chunk) for chunk in islice(chunks, 3 * self.workers))
                while waiting:
                    done = waiting.popleft().result()
                    waiting.extend(pool.submit(self._chunk, chunk) for chunk in islice(chunks, 1))
                    yield from map(self._keep, done)
            finally:
                for future in waiting:
                    future.cancel()

    def _keep(self, extracted: "_Extracted") -> Result:
        for key, row in extracted.fresh.items():
            self.cache.add(key, row)
        if extracted.error is not None:
            return Result(extracted.request, error=extracted.error)
        rows = [extracted.fresh.get(key, self.cache.get(key)) for key in extracted.keys]
        return Result(extracted.request, rows=np.stack(rows))

    def _chunk(self, chunk: Sequence[Request]) -> list["_Extracted"]:
        """What a worker does: all steps for some images, the network run on full batches."""
        extracted: list[_Extracted] = []
        tensors: list[np.ndarray] = []
        missing: list[tuple[_Extracted, bytes]] = []
        for request in chunk:
            result = _Extracted(request, [], {})
            extracted.append(result)
            try:
                for key, tensor in self._missing_views(request, result.keys):
                    missing.append((result, key))
                    tensors.append(tensor)
            except ImageError as error:
                result.error = error
        for start in range(0, len(tensors), BATCH_SIZE):
            batch = np.stack(tensors[start : start + BATCH_SIZE])
            rows = self.session.run(batch, ["features"])["features"]
            for (result, key), row in zip(missing[start : start + BATCH_SIZE], rows, strict=True):
                result.fresh[key] = row
        return extracted

    def _missing_views(self, request: Request, keys: list[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
        """Appends the keys of all views; yields key and tensor of those the cache does not hold."""
        data = _read_file(request.path)
        content = hashlib.sha256(data).hexdigest()
        keys += [row_key(content, self._describe(view)) for view in range(request.views)]
        missing = [view for view, key in enumerate(keys) if self.cache.get(key) is None]
        if missing:
            image = decode_image(data, str(request.path))
            for view in missing:
                yield keys[view], self._view(image, content, view)

    def _describe(self, view: int) -> str:
        return f"{self.augmentation.describe()}/{self.seed}/{view}" if view else "plain"

    def _view(self, image: np.ndarray, content: str, view: int) -> np.ndarray:
        if view == 0:
            return preprocess(image, self.contract, self._fit)
        random = view_random(self.seed, content, view)
        return augmented_view(image, self.contract, self.augmentation, random, self._fit)


@dataclass
class _Extracted:
    """One image as a worker hands it on: the keys of its views, and the rows that were not cached."""

    request: Request
    keys: list[bytes]
    fresh: dict[bytes, np.ndarray]
    error: ImageError | None = None


def _chunks(requests: Iterable[Request]) -> Iterator[list[Request]]:
    """Consecutive requests that together fill at least one batch."""
    chunk: list[Request] = []
    views = 0
    for request in requests:
        chunk.append(request)
        views += request.views
        if views >= BATCH_SIZE:
            yield chunk
            chunk, views = [], 0
    if chunk:
        yield chunk


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(str(path), f"cannot be read: {error.strerror}") from error


def _one_thread_per_opencv_call() -> None:
    """The workers are the parallelism; OpenCV's own threads would only contend with them."""
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)
