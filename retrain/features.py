"""Frozen features of every image of a data set, with what cannot be used leaving it."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import numpy as np

from legoclf.contract import InputContract
from legoclf.data.folder import DataSet, ImageItem, Rejected
from legoclf.errors import LegoclfError
from legoclf.image import read_image
from legoclf.preprocess import REVISION, fastest_fit, preprocess
from legoclf.progress import Progress
from legoclf.retrain.engines import measure_drift, open_engine
from legoclf.retrain.extract import Extractor, Request
from legoclf.retrain.feature_cache import FeatureCache
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import Features
from legoclf.retrain.settings import Settings
from legoclf.split import TRAIN

LOGGER = logging.getLogger(__name__)

#: Images on which the drift of a lower precision is measured: a second's work.
DRIFT_IMAGES = 16


def extract_features(
    dataset: DataSet, vector: FeatureVector, contract: InputContract, settings: Settings
) -> tuple[DataSet, list[np.ndarray]]:
    """Features of each image, float32 [views, D]; images that do not decode leave the data set.

    While images are extracted, their features are on disk and their keys alone in memory.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings.extractor, vector, settings.extractor_precision))
        made_with = {
            "module": vector.identity,
            "contract": contract.to_json(),
            "preprocessing": f"revision {REVISION}, {fastest_fit().__name__}",
            "engine": engine.description,
        }
        cache = stack.enter_context(
            FeatureCache(settings.bottleneck_dir, made_with, vector.feature_size, settings.bottleneck_bytes)
        )
        # In cross-validation every image is a training image of some fold.
        every = settings.cross_validate > 0
        requests = (
            Request(item.path, settings.views if every or item.split == TRAIN else 1)
            for item in dataset.images
        )
        keys, contents, rejected = _extract(
            Extractor(engine, contract, cache, settings.augmentation, settings.seed),
            requests,
            len(dataset.images),
            settings,
        )
        if rejected:
            dataset = dataset.without(rejected)
        dataset.know_contents(content.hex() for content in contents)
        if settings.extractor_precision != "fp32":
            few = dataset.images[:: max(1, len(dataset.images) // DRIFT_IMAGES)][:DRIFT_IMAGES]
            tensors = [preprocess(read_image(item.path), contract, fastest_fit()) for item in few]
            LOGGER.info("%s", measure_drift(engine, vector, tensors).as_text())
        rows = cache.rows([key for views in keys for key in views])
    ends = np.cumsum([len(views) for views in keys])
    return dataset, np.split(rows, ends[:-1])


def _extract(
    extractor: Extractor, requests: Iterable[Request], total: int, settings: Settings
) -> tuple[list[list[bytes]], list[bytes], list[Rejected]]:
    """Keys of the views, and SHA-256, of each image that could be used; the others with their reasons."""
    keys: list[list[bytes]] = []
    contents: list[bytes] = []
    rejected: list[Rejected] = []
    try:
        with Progress("extracting features", total) as progress:
            for result in extractor.extract(requests):
                progress.advance()
                if result.error is None:
                    keys.append(result.keys)
                    contents.append(bytes.fromhex(result.content_sha256))
                elif settings.strict:
                    raise LegoclfError(f"{result.error}; mend or remove it, or run without --strict")
                else:
                    rejected.append(Rejected(result.error.path, result.error.reason))
    except KeyboardInterrupt:
        LOGGER.warning(
            "interrupted: the features of %d of %d images are kept in %s",
            len(keys),
            total,
            settings.bottleneck_dir,
        )
        raise
    return keys, contents, rejected


def gather(images: Sequence[ImageItem], rows: Sequence[np.ndarray], split: str) -> Features:
    """The features of one split: all views of training images, the plain one of others.

    Args:
        rows: of each image, float32 [views, D], the plain view first.
    """
    views = None if split == TRAIN else 1
    chosen = [(item, row[:views]) for item, row in zip(images, rows, strict=True) if item.split == split]
    if not chosen:
        return Features(np.zeros((0, rows[0].shape[1]), np.float32), np.zeros(0, np.int64))
    labels = [item.label_index for item, row in chosen for _ in row]
    return Features(np.concatenate([row for _, row in chosen]), np.array(labels, np.int64))
