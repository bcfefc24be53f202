"""`legoclf retrain` against what retrain.py does with distortions on: time and accuracy, in one run."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from legoclf.benchmarks.yardstick import Reading, Yardstick
from legoclf.contract import unit_range_contract
from legoclf.cores import available_cores
from legoclf.data.folder import DataSet, scan_folder
from legoclf.errors import LegoclfError
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.cross_validate import Pooled, Sample, Trainer, cross_validate, paired_difference
from legoclf.retrain.feature_vector import FeatureVector, load_feature_vector
from legoclf.retrain.heads import Features, SgdSettings, train_sgd
from legoclf.retrain.lbfgs import train_lbfgs
from legoclf.retrain.settings import Settings
from legoclf.retrain.training import extract_features
from legoclf.split import TRAIN
from legoclf.user_cache import default_cache_dir

#: All four of retrain.py's distortions, in percent.
DISTORTIONS = Augmentation(random_crop=10, random_scale=10, random_brightness=10, flip_left_right=True)

FOLDS = 5


@dataclass(frozen=True)
class RetrainingResult:
    """One run.

    passes: images through the network that the steps of retrain.py take. readings: of the yardstick.
    seconds: of `legoclf retrain` as a process of its own, start to finish. accuracy: of its test images,
    as a fraction, None where there are none. pooled: heads in cross-validation, the yardstick's first.
    """

    cores: int
    steps: int
    passes: int
    readings: list[Reading]
    seconds: float
    accuracy: float | None
    views: int
    pooled: list[Pooled]

    def ratio(self, reading: Reading) -> float:
        """How many times as long the yardstick takes, extrapolated."""
        return reading.extrapolated_seconds(self.passes) / self.seconds

    def as_json(self) -> dict[str, object]:
        """The figures; answers of the heads as lists of 0 and 1, an image each."""
        return {
            **asdict(self),
            "pooled": {one.head: one.right.astype(int).tolist() for one in self.pooled},
            "ratios": {reading.name: self.ratio(reading) for reading in self.readings},
        }

    def as_text(self) -> str:
        """A table, the ratios last."""
        lines = [f"{self.steps} steps with all four distortions, on {self.cores} cores"]
        for each in self.readings:
            hours = each.extrapolated_seconds(self.passes) / 3600
            lines.append(
                f"retrain.py, {each.name}: {each.rate:.1f} images/s measured over {each.seconds:.0f} s; "
                f"extrapolated to {self.passes} images: {hours:.2f} h"
            )
        told = "" if self.accuracy is None else f", test accuracy {self.accuracy:.1%}"
        lines.append(f"legoclf retrain, start to finish, nothing cached: {self.seconds:.1f} s{told}")
        for each in self.readings:
            lines.append(f"against retrain.py {each.name}: {self.ratio(each):.0f} times as fast")
        if self.pooled:
            lines.append(f"accuracy, pooled over {FOLDS} folds of {len(self.pooled[0].right)} images")
            lines.append(f"({self.views} views an image stand for retrain.py's endless fresh ones)")
        for one in self.pooled:
            difference, error = paired_difference(one, self.pooled[0])
            lines.append(
                f"{one.head:<44} {one.accuracy:.1%}  "
                f"({100 * difference:+.1f} points, paired standard error {100 * error:.1f})"
            )
        return "\n".join(lines) + "\n"


def measure(
    image_dir: Path, seconds: float, steps: int, views: int, tfhub_module: str | None
) -> RetrainingResult:
    """Measure both readings of the yardstick, `legoclf retrain`, and the accuracies.

    Args:
        seconds: for each reading.
        steps: of training.
        views: fresh views an image that the yardstick's head is cross-validated on; 0 for no accuracies.
        tfhub_module: the module of both; None for the embedded one.
    """
    vector = load_feature_vector(tfhub_module, cache_dir=Path(default_cache_dir()))
    dataset = scan_folder(str(image_dir))
    settings = SgdSettings(how_many_training_steps=steps, eval_step_interval=steps)
    train = dataset.by_split(TRAIN)
    with Yardstick(
        vector, DISTORTIONS, [item.path for item in train], [item.label_index for item in train], settings
    ) as yardstick:
        readings = [yardstick.one_by_one(seconds), yardstick.batched(seconds)]
        elapsed, accuracy = _retrain(image_dir, steps, tfhub_module)
        pooled = _accuracies(yardstick, vector, dataset, settings, views) if views else []
    passes = steps * settings.train_batch_size
    return RetrainingResult(available_cores(), steps, passes, readings, elapsed, accuracy, views, pooled)


def _retrain(image_dir: Path, steps: int, tfhub_module: str | None) -> tuple[float, float | None]:
    """Seconds of `legoclf retrain` in a process of its own with nothing cached, and its test accuracy."""
    with tempfile.TemporaryDirectory() as scratch:
        places = {
            "bundle": "a.bundle",
            "bottleneck_dir": "bottleneck",
            "output_graph": "graph.pb",
            "output_labels": "labels.txt",
            "summaries_dir": "logs",
            "checkpoint_path": "checkpoint",
            "intermediate_output_graphs_dir": "steps",
        }
        flags = [f"--{flag}={Path(scratch) / name}" for flag, name in places.items()]
        flags += [f"--random_{name}={getattr(DISTORTIONS, 'random_' + name)}" for name in _PERCENTAGES]
        flags += ["--flip_left_right", f"--how_many_training_steps={steps}", f"--image_dir={image_dir}"]
        if tfhub_module is not None:
            flags.append(f"--tfhub_module={tfhub_module}")
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "legoclf", "retrain", "--json", *flags], capture_output=True, text=True
        )
        elapsed = time.perf_counter() - start
    if done.returncode:
        raise LegoclfError(f"legoclf retrain failed: {done.stderr.strip().splitlines()[-1]}")
    percent = json.loads(done.stdout)["metrics"].get("final_test_accuracy_percent")
    return elapsed, None if percent is None else percent / 100


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
