"""Features of images: read, decode, fit, augment and run, on all cores, through the cache.

One worker a core does all of it for an image, with ONNX Runtime on that worker's thread alone.
Decoding, resizing and inference release Python's lock, so the cores never wait for one another, and
what a row is does not depend on their number.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from legoclf.contract import InputContract
from legoclf.cores import available_cores
from legoclf.errors import ImageError
from legoclf.image import decode_image
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.retrain.augment import Augmentation, augmented_view, view_random
from legoclf.retrain.feature_cache import FeatureCache, row_key
from legoclf.session import OnnxRuntimeSession


@dataclass(frozen=True)
class Request:
    """An image, and how many views of it are wanted: the plain one first, then augmented ones."""

    path: str
    views: int = 1


@dataclass(frozen=True)
class Result:
    """Features of one image: float32 [views, D]; or the error that it met."""

    request: Request
    rows: np.ndarray | None = None
    error: ImageError | None = None


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

    def extract(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Features of images, in the order of the requests; few images are in memory at a time."""
        _one_thread_per_opencv_call()
        left = iter(requests)
        with ThreadPoolExecutor(self.workers) as pool:
            waiting: deque[Future[_Extracted]] = deque()
            try:
                waiting.extend(pool.submit(self._work, request) for request in islice(left, 4 * self.workers))
                while waiting:
                    done = waiting.popleft().result()
                    waiting.extend(pool.submit(self._work, request) for request in islice(left, 1))
                    yield self._keep(done)
            finally:
                for future in waiting:
                    future.cancel()

    def _keep(self, extracted: "_Extracted") -> Result:
        for key, row in extracted.fresh.items():
            self.cache.add(key, row)
        if extracted.error is not None:
            return Result(extracted.request, error=extracted.error)
        return Result(extracted.request, rows=np.stack([self.cache[key] for key in extracted.keys]))

    def _work(self, request: Request) -> "_Extracted":
        """What a worker does: all steps for one image.

        The network runs on one tensor at a time: on one thread a batch is no faster, and a row would
        depend, in its last bits, on how many others shared its batch.
        """
        extracted = _Extracted(request, [], {})
        try:
            for key, tensor in self._missing_views(request, extracted.keys):
                extracted.fresh[key] = self.session.run(tensor[None], ["features"])["features"][0]
        except ImageError as error:
            extracted.error = error
        return extracted

    def _missing_views(self, request: Request, keys: list[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
        """Appends the keys of all views; yields key and tensor of those the cache does not hold."""
        data = _read_file(request.path)
        content = hashlib.sha256(data).hexdigest()
        keys += [row_key(content, self._describe(view)) for view in range(request.views)]
        missing = [view for view, key in enumerate(keys) if key not in self.cache]
        if missing:
            image = decode_image(data, request.path)
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


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ImageError(path, f"cannot be read: {error.strerror}") from error


def _one_thread_per_opencv_call() -> None:
    """The workers are the parallelism; OpenCV's own threads would only contend with them."""
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)
