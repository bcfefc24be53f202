"""Features of images: read, decode, fit, augment and run, on all cores, into the cache.

One worker a core does all of it for an image, with the network on that worker's thread alone.
Decoding, resizing and inference release Python's lock, so the cores never wait for one another, and
what a row is does not depend on their number. A few images a worker are in memory at a time.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from legoclf.contract import InputContract
from legoclf.errors import ImageError
from legoclf.image import decode_image, decode_reduced, read_file
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.retrain.augment import Augmentation, augmented_view, reduce_for_views, view_random
from legoclf.retrain.engines import Engine
from legoclf.retrain.feature_cache import FeatureCache, row_key

#: To be raised when views are made otherwise: kept features of another number are not used.
VIEWS_REVISION = 2

#: Images that wait or are worked on, for each worker: enough that none waits for another's slow one.
IMAGES_A_WORKER = 4


@dataclass(frozen=True)
class Request:
    """An image, and how many views of it are wanted: the plain one first, then augmented ones."""

    path: str
    views: int = 1


@dataclass
class Result:
    """What became of one image.

    content_sha256: of the file, hexadecimal. keys: of its views in the cache, the plain one first.
    error: what it met, where its rows could not be made.
    """

    request: Request
    content_sha256: str = ""
    keys: list[bytes] = field(default_factory=list)
    error: ImageError | None = None


class Extractor:
    """Extracts features with one network.

    Args:
        engine: what runs the network.
        contract: the input contract of the network.
        cache: where rows are looked up and kept; entered by the caller.
        augmentation: what the views after the first one look like.
        seed: seed of the views.
        workers: threads; None for as many as the engine asks for.
    """

    def __init__(
        self,
        engine: Engine,
        contract: InputContract,
        cache: FeatureCache,
        augmentation: Augmentation,
        seed: int,
        workers: int | None = None,
    ) -> None:
        self.engine = engine
        self.contract = contract
        self.cache = cache
        self.augmentation = augmentation
        self.seed = seed
        self.workers = workers or engine.workers
        self._fit = fastest_fit()
        self._views = f"{VIEWS_REVISION}/{augmentation.describe()}/{seed}/{_reduced_decoder()}"

    def extract(self, requests: Iterable[Request]) -> Iterator[Result]:
        """See to it that the cache holds all views of all images; results in the order of the requests."""
        _one_thread_per_opencv_call()
        left = iter(requests)
        with ThreadPoolExecutor(self.workers) as pool:
            waiting: deque[Future[_Work]] = deque()
            try:
                first = islice(left, IMAGES_A_WORKER * self.workers)
                waiting.extend(pool.submit(self._work, request) for request in first)
                while waiting:
                    done = waiting.popleft().result()
                    waiting.extend(pool.submit(self._work, request) for request in islice(left, 1))
                    for key, row in done.fresh:
                        self.cache.add(key, row)
                    yield done.result
            finally:
                for future in waiting:
                    future.cancel()

    def _work(self, request: Request) -> "_Work":
        """What a worker does: all steps for one image.

        The network runs on one tensor at a time: on one thread a batch is no faster, and a row would
        depend, in its last bits, on how many others shared its batch.
        """
        work = _Work(Result(request), [])
        try:
            for key, tensor in self._missing_views(work.result):
                work.fresh.append((key, self.engine.features(tensor)))
        except ImageError as error:
            work.result.error = error
        return work

    def _missing_views(self, result: Result) -> Iterator[tuple[bytes, np.ndarray]]:
        """Fills in the result; yields key and tensor of the views that the cache does not hold."""
        path = result.request.path
        data = read_file(path)
        content = result.content_sha256 = hashlib.sha256(data).hexdigest()
        result.keys = [row_key(content, self._describe(view)) for view in range(result.request.views)]
        missing = [view for view, key in enumerate(result.keys) if key not in self.cache]
        if missing[:1] == [0]:
            tensor = preprocess(decode_image(data, path), self.contract, self._fit)
            yield result.keys[0], tensor
            missing = missing[1:]
        if missing:
            image = decode_reduced(data, path, self.contract.height, self.contract.width)
            image = reduce_for_views(image, self.contract, self._fit)
            for view in missing:
                random = view_random(self.seed, content, view)
                tensor = augmented_view(image, self.contract, self.augmentation, random, self._fit)
                yield result.keys[view], tensor

    def _describe(self, view: int) -> str:
        return f"{self._views}/{view}" if view else "plain"


@dataclass
class _Work:
    """One image as a worker hands it on: its result, and key and row of each view that was not cached."""

    result: Result
    fresh: list[tuple[bytes, np.ndarray]]


def _one_thread_per_opencv_call() -> None:
    """The workers are the parallelism; OpenCV's own threads would only contend with them."""
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)


def _reduced_decoder() -> str:
    """What decodes the views: their pixels depend on whether a JPEG is decoded at a reduced size."""
    try:
        import simplejpeg
    except ImportError:
        return "full size"
    return f"simplejpeg {simplejpeg.__version__}"
