"""What a run of `legoclf retrain` comes to before anything is written: the classifier, and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass

from legoclf.contract import InputContract
from legoclf.data.dataset import DataSet
from legoclf.retrain.calibrate import Calibration
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.evaluate import Report
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import Head
from legoclf.retrain.novelty import MeasuredNovelty
from legoclf.retrain.report import Curve


@dataclass(frozen=True)
class Result:
    """A classifier that is trained, calibrated and tested: what :func:`legoclf.retrain.export.export` writes.

    head: on the features of the vector, with the temperature in it. validation, test: None where that split
    has no image. cross_validation: empty unless it was asked for. calibration: None if it was not asked for,
    or had no image to go by. curves: one of each phase of the training. advice: what to try next, in a line.
    samples: sheets of training images as PNG files, by what they show. novelty: None if it was not wanted.
    """

    dataset: DataSet
    vector: FeatureVector
    contract: InputContract
    head: Head
    validation: Report | None
    test: Report | None
    cross_validation: list[Pooled]
    calibration: Calibration | None
    curves: list[Curve]
    advice: str
    samples: Mapping[str, bytes]
    novelty: MeasuredNovelty | None
