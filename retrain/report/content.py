"""What the page is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from legoclf.data.dataset import DataSet
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.evaluate import Report
from legoclf.retrain.heads import Evaluation
from legoclf.retrain.near_duplicates import NearDuplicates


@dataclass(frozen=True)
class Curve:
    """The learning curve of one phase of a training; ``unit`` is what a step is: iteration, step, epoch."""

    phase: str
    unit: str
    points: list[Evaluation]


@dataclass(frozen=True)
class ReportData:
    """One run. What a run does not have is None or empty, and is left out of the page.

    pictures: the file of each image by its path in the data set. temperature: what the logits were divided
    by. notes: lines of what to make of it all. samples: sheets of training images as PNG files, by what they
    show. versions: of the packages that can change a result.
    """

    test: Report
    pictures: Mapping[str, str]
    dataset: DataSet | None = None
    validation: Report | None = None
    curves: Sequence[Curve] = ()
    cross_validation: Sequence[Pooled] = ()
    duplicates: NearDuplicates | None = None
    temperature: float | None = None
    notes: Sequence[str] = ()
    samples: Mapping[str, bytes] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    command: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
