"""`legoclf retrain` against what retrain.py does with distortions on: time and accuracy, in one run."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.benchmarks.extraction import DISTORTIONS
from legoclf.benchmarks.process import places_of_retrain, run_legoclf
from legoclf.benchmarks.yardstick import Yardstick
from legoclf.contract import unit_range_contract
from legoclf.data.folder import DataSet, scan_folder
from legoclf.retrain.cross_validate import Pooled, Sample, Trainer, cross_validate, paired_difference
from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector
from legoclf.retrain.features import extract_features
from legoclf.retrain.heads import Features, SgdSettings, train_sgd
from legoclf.retrain.lbfgs import train_lbfgs
from legoclf.retrain.settings import Settings
from legoclf.split import TRAIN
from legoclf.user_cache import default_cache_dir

FOLDS = 5

#: What retrain.py's figures are called, by reading of the yardstick.
YARDSTICK = "retrain.py, {}"

_OWN = "legoclf retrain, start to finish, nothing cached"


def measure(
    image_dir: Path, seconds: float, steps: int, views: int, tfhub_module: str | None, rounds: int
) -> Measured:
    """Measure both readings of the yardstick and `legoclf retrain` in turns, and the accuracies.

    Args:
        seconds: for each reading, all turns together.
        steps: of training.
        views: fresh views an image that the yardstick's head is cross-validated on; 0 for no accuracies.
        tfhub_module: the module of both; None for the embedded one.
        rounds: turns of each; 6 or more for intervals.
    """
    vector = load_feature_vector(tfhub_module, cache_dir=Path(default_cache_dir()))
    dataset = scan_folder(str(image_dir))
    settings = SgdSettings(how_many_training_steps=steps, eval_step_interval=steps)
    rates: dict[str, list[list[float]]] = {}
    own: list[list[float]] = []
    with open_yardstick(vector, dataset, settings) as yardstick:
        for _ in range(rounds):
            for name, rate in yardstick_rates(yardstick, seconds / rounds).items():
                rates.setdefault(name, []).append([rate])
            elapsed, metrics = _retrain(image_dir, steps, tfhub_module)
            own.append([elapsed])
        pooled = _accuracies(yardstick, vector, dataset, settings, views) if views else []
    passes = steps * settings.train_batch_size
    read = [Series(name, "1/s", turns) for name, turns in rates.items()]
    needed = [extrapolated(each, passes) for each in read]
    series = [Series(_OWN, "s", own), *needed, *read, *_test_accuracy(metrics)]
    series += [right_series(f"{FOLDS}-fold cross-validation, {one.head}", one.right) for one in pooled]
    ratios = [Ratio(f"time, {each.name}, of legoclf retrain's", each.name, _OWN) for each in needed]
    differences = compare(pooled[1:], pooled[0]) if pooled else []
    facts: dict[str, Any] = {
        "images": len(dataset.images),
        "classes": len(dataset.labels),
        "steps": steps,
        "passes": passes,
        "fresh_views": views,
        "differences": differences,
        "notes": [
            f"retrain.py passes {passes} images through the network in {steps} steps with all four "
            f"distortions; extrapolated from {seconds:.0f} s of each reading",
            *(difference_line(each) for each in differences),
        ],
    }
    if pooled:
        facts["notes"].append(f"{views} fresh views an image stand for retrain.py's endless ones")
    return Measured(series, ratios, facts)


def open_yardstick(vector: FeatureVector, dataset: DataSet, settings: SgdSettings) -> Yardstick:
    """The yardstick on the training images of a data set, with all four distortions."""
    train = dataset.by_split(TRAIN)
    paths, labels = [item.path for item in train], [item.label_index for item in train]
    return Yardstick(vector, DISTORTIONS, paths, labels, settings)


def yardstick_rates(yardstick: Yardstick, seconds: float) -> dict[str, float]:
    """Images a second of both readings, each measured so long, by the name of its series."""
    readings = yardstick.one_by_one(seconds), yardstick.batched(seconds)
    return {YARDSTICK.format(each.name): each.rate for each in readings}


def extrapolated(rates: Series, passes: int) -> Series:
    """Seconds that so many passes take at the rate of each turn."""
    turns = [[passes / rate for rate in turn] for turn in rates.turns]
    return Series(f"{rates.name}, {passes} passes, extrapolated", "s", turns)


def right_series(name: str, right: np.ndarray) -> Series:
    """Answers, bool [N], as a series of one turn."""
    return Series(name, "right", [right.astype(int).tolist()])


def compare(others: Sequence[Pooled], reference: Pooled) -> list[dict[str, Any]]:
    """How much more accurate than the reference each is, over the same images, with its standard error.

    Fractions; the error is None where there is one image alone.
    """
    found = []
    for one in others:
        difference, error = (
            paired_difference(one, reference)
            if len(one.right) > 1
            else (float(one.accuracy - reference.accuracy), None)
        )
        found.append(
            {
                "head": one.head,
                "against": reference.head,
                "images": len(one.right),
                "difference": difference,
                "standard_error": error,
            }
        )
    return found


def difference_line(difference: dict[str, Any]) -> str:
    """One of :func:`compare` for people, in points."""
    error = difference["standard_error"]
    told = "no standard error: one image" if error is None else f"paired standard error {100 * error:.1f}"
    return (
        f"{difference['head']} against {difference['against']}: {100 * difference['difference']:+.1f} points "
        f"({told}) on {difference['images']} images"
    )


def _retrain(image_dir: Path, steps: int, tfhub_module: str | None) -> tuple[float, dict[str, Any]]:
    """Seconds of `legoclf retrain` in a process of its own with nothing cached, and its metrics."""
    with tempfile.TemporaryDirectory() as scratch:
        flags = [f"--bundle={Path(scratch) / 'a.bundle'}", *places_of_retrain(Path(scratch))]
        flags += [f"--random_{name}={getattr(DISTORTIONS, 'random_' + name)}" for name in _PERCENTAGES]
        flags += ["--flip_left_right", f"--how_many_training_steps={steps}", f"--image_dir={image_dir}"]
        if tfhub_module is not None:
            flags.append(f"--tfhub_module={tfhub_module}")
        start = time.perf_counter()
        told = run_legoclf(["retrain", "--json", *flags])
        elapsed = time.perf_counter() - start
    metrics: dict[str, Any] = json.loads(told)["metrics"]
    return elapsed, metrics


def _test_accuracy(metrics: dict[str, Any]) -> list[Series]:
    """Of the confusion matrix of the test images, the right ones first; none where there are no images."""
    if "confusion" not in metrics:
        return []
    confusion = np.array(metrics["confusion"])
    right = np.arange(confusion.sum()) < np.trace(confusion)
    return [right_series("legoclf retrain, test images", right)]


_PERCENTAGES = ("crop", "scale", "brightness")


def _accuracies(
    yardstick: Yardstick, vector: FeatureVector, dataset: DataSet, sgd: SgdSettings, views: int
) -> list[Pooled]:
    """Heads in cross-validation on the same folds, tested on plain images alone.

    The yardstick's learns from ``views`` fresh ones an image, legoclf's from its cached ones.
    """
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(
            dataset.root,
            Path(scratch) / "unused.bundle",
            augmentation=DISTORTIONS,
            cross_validate=FOLDS,
            bottleneck_dir=Path(scratch),
        )
        contract = unit_range_contract(vector.width, vector.height)
        dataset, cached = extract_features(dataset, vector, contract, settings)
    samples = []
    for item, rows in zip(dataset.images, cached, strict=True):
        fresh = np.concatenate([yardstick.distorted(item.path) for _ in range(views)])
        every = np.concatenate([rows, yardstick.features(fresh)])
        samples.append(Sample(item.relative, item.label_index, every))
    classes, kept, total = len(dataset.labels), settings.views, settings.views + views

    def sgd_on(columns: range) -> Trainer:
        return lambda train, validation: train_sgd(
            _views(train, total, columns), validation, classes, sgd, 0, lambda _: None
        )

    trainers: dict[str, Trainer] = {
        "retrain.py's SGD on fresh views": sgd_on(range(kept, total)),
        "legoclf --head sgd, cached views": sgd_on(range(kept)),
        "legoclf's default head, cached views": lambda train, validation: train_lbfgs(
            _views(train, total, range(kept)), validation, classes
        ),
    }
    return cross_validate(samples, FOLDS, trainers)


def _views(train: Features, views: int, columns: Sequence[int]) -> Features:
    """Those views of each image, of rows that hold all ``views`` of an image one after the other."""
    chosen = np.isin(np.arange(len(train)) % views, columns)
    return Features(train.rows[chosen], train.labels[chosen])
