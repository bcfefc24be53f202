"""Batches of images for training a network: read, augmented and stacked by threads while it computes.

A view is a matter of the seed, the image and the epoch alone: not of the order of images, the number of
threads, or whether the run was resumed.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Self

import numpy as np

from legoclf.contract import InputContract
from legoclf.cores import available_cores
from legoclf.data.folder import ImageItem
from legoclf.image import decode_reduced, read_file, read_image
from legoclf.preprocess import fastest_fit
from legoclf.retrain.augment import Augmentation, augmented_view, reduce_for_views, view_random
from legoclf.retrain.balance import BALANCES, class_weights
from legoclf.retrain.heads import BalancedSampler

#: What decoded images may take in memory, each of the two kinds; what lies beyond is decoded again.
KEPT_BYTES = 10**9

#: Batches made ahead of the one that is trained on.
AHEAD = 2


@dataclass(frozen=True)
class Batch:
    """Some images and what they are.

    images: float32 [N, H, W, 3], RGB in [0, 1]. labels: int64 [N]. weights: float32 [N], of each in the loss.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


class ImageBatches:
    """The images of one set, as batches; a context manager, whose threads end with it.

    Args:
        items: the images; all of them decode.
        contract: what a network takes of them.
        augmentation: of training batches.
        batch_size: images in a training batch.
        seed: of order and views.
        balance: ``sample`` draws a class, then one of its images, as retrain.py does; ``weight`` takes each
            image once an epoch, and counts classes alike; ``none`` takes each once, and counts it once.
    """

    def __init__(
        self,
        items: Sequence[ImageItem],
        contract: InputContract,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        balance: str = BALANCES[0],
    ) -> None:
        self.items = items
        self.contract = contract
        self.augmentation = augmentation
        self.batch_size = min(batch_size, max(1, len(items)))
        self.seed = seed
        self.balance = balance
        self.labels = np.array([item.label_index for item in items], np.int64)
        self.weights = class_weights(self.labels) if balance == "weight" else np.ones(len(items), np.float32)
        self._fit = fastest_fit()
        self._fitted = _Kept(self._fit_one)
        self._reduced = _Kept(self._reduce_one)
        self._threads = available_cores()
        self._pool = ThreadPoolExecutor(self._threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return max(1, len(self.items) // self.batch_size)

    def epoch(self, number: int, worker: int = 0, workers: int = 1) -> Iterator[Batch]:
        """The training batches of one epoch: whole ones alone, the same for the same seed and number.

        Args:
            number: from 0.
            worker, workers: which share of each batch is wanted, where several machines train together.
        """
        random = np.random.default_rng([self.seed, 3, number])
        chosen = self._order(random)[: self.steps * self.batch_size].reshape(self.steps, self.batch_size)

        def views(indices: np.ndarray) -> np.ndarray:
            return np.stack([view(self.items[index]) for index in indices.tolist()])

        def view(item: ImageItem) -> np.ndarray:
            own = view_random(self.seed, item.relative, number + 1)
            tensor = augmented_view(self._reduced(item), self.contract, self.augmentation, own, self._fit)
            return tensor.transpose(1, 2, 0)

        shares = (np.array_split(row, workers)[worker] for row in chosen)
        return self._batches(shares, views if self.augmentation.active else self._plain)

    def plain(self, batch_size: int = 64) -> Iterator[Batch]:
        """All images once, in their order, as the contract has them."""
        order = np.arange(len(self.items))
        parts = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
        return self._batches(parts, self._plain)

    def _order(self, random: np.random.Generator) -> np.ndarray:
        """Indices of one epoch's images: as many as there are images."""
        if self.balance != "sample":
            return random.permutation(len(self.items))
        return BalancedSampler(self.labels).sample(random, len(self.items))

    def _batches(
        self, parts: Iterator[np.ndarray], images_of: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[Batch]:
        """Each batch is made in as many pieces as there are threads: a call an image would cost too much."""
        waiting: deque[tuple[np.ndarray, list[Future[np.ndarray]]]] = deque()

        def submit(part: np.ndarray) -> None:
            pieces = np.array_split(part, min(self._threads, max(1, len(part))))
            waiting.append((part, [self._pool.submit(images_of, piece) for piece in pieces]))

        for part in islice(parts, AHEAD):
            submit(part)
        while waiting:
            part, futures = waiting.popleft()
            images = np.concatenate([future.result() for future in futures])
            for following in islice(parts, 1):
                submit(following)
            yield Batch(images, self.labels[part], self.weights[part])

    def _plain(self, indices: np.ndarray) -> np.ndarray:
        """float32 [N, H, W, 3]: what to_tensor makes of each image, for all of them at once."""
        levels = np.stack([self._fitted(self.items[index]) for index in indices.tolist()])
        images: np.ndarray = np.multiply(levels, np.float32(self.contract.scale), dtype=np.float32)
        if self.contract.offset:
            images += np.float32(self.contract.offset)
        return images

    def _fit_one(self, item: ImageItem) -> np.ndarray:
        return self._fit(read_image(item.path), self.contract)

    def _reduce_one(self, item: ImageItem) -> np.ndarray:
        image = decode_reduced(read_file(item.path), item.path, self.contract.height, self.contract.width)
        return reduce_for_views(image, self.contract, self._fit)


class _Kept:
    """A function of an image, its results kept while there is room; for any thread."""

    def __init__(self, function: Callable[[ImageItem], np.ndarray]) -> None:
        self._function = function
        self._kept: dict[str, np.ndarray] = {}
        self._bytes = 0

    def __call__(self, item: ImageItem) -> np.ndarray:
        found = self._kept.get(item.path)
        if found is None:
            found = self._function(item)
            if self._bytes + found.nbytes <= KEPT_BYTES:
                self._kept[item.path] = found
                self._bytes += found.nbytes
        return found
