"""What the report's page is tried on: pictures of one colour each, named right and wrong as a test wants."""

from pathlib import Path

import numpy as np
from PIL import Image

from legoclf.data.dataset import DataSet, ImageItem
from legoclf.data.images import Rejected
from legoclf.retrain.evaluate import Report, evaluate
from legoclf.retrain.heads import Evaluation
from legoclf.retrain.near_duplicates import NearDuplicate, NearDuplicates
from legoclf.retrain.report import Curve, ReportData

#: Names that would be markup, scripts, links or formulas if they were let.
HOSTILE = [
    '<script>alert("1")</script> & co',
    "\"><img src=x onerror=alert(1)> ' onload='alert(2)",
    "$\\frac{1}{ line\nbreak\x1b[2J",
    "网络 🧱 " + "x" * 300,
]


def report_of(truth: list[int], answers: list[int], labels: list[str], sure: float = 3.0) -> Report:
    """The figures of answers that are all as sure; image ``n`` is ``<label>/<n>.jpg``."""
    logits = np.eye(len(labels), dtype=np.float32)[answers] * np.float32(sure)
    paths = [f"{labels[index]}/{number}.jpg" for number, index in enumerate(truth)]
    report = evaluate(logits, np.array(truth, np.int64), paths, labels)
    assert report is not None
    return report


def pictures_of(report: Report, folder: Path) -> dict[str, str]:
    """An image file for each path of a report."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for number, path in enumerate(report.paths):
        files[path] = str(folder / f"{number}.jpg")
        Image.new("RGB", (160, 90 + 10 * (number % 7)), (250 - number % 200, 40, 90)).save(files[path])
    return files


def full_data(folder: Path, labels: list[str], images_a_class: int = 6) -> ReportData:
    """A run that has everything; in each class the first image is named as the next class."""
    classes = len(labels)
    truth = [index for index in range(classes) for _ in range(images_a_class)]
    answers = [(index + (n % images_a_class == 0)) % classes for n, index in enumerate(truth)]
    report = report_of(truth, answers, labels)
    files = pictures_of(report, folder)
    items = [
        ImageItem(files[path], path, index, "test") for path, index in zip(report.paths, truth, strict=True)
    ]
    twin = ImageItem(items[0].path, f"{labels[0]}/twin.jpg", 0, "train")
    rejected = [Rejected(str(folder / labels[-1]), "truncated")]
    return ReportData(
        report,
        {**files, twin.relative: twin.path},
        DataSet(str(folder), labels, [twin, *items], ["a warning"], rejected),
        report,
        [Curve("the head", "step", _points(30)), Curve("fine-tuning", "epoch", _points(5))],
        duplicates=NearDuplicates([NearDuplicate(twin, items[0], 1.0, True)], len(items) + 1),
        temperature=1.5,
        notes=[labels[0]],
        samples={"training images": Path(_sheet(folder)).read_bytes()},
        facts={"seed": 3, labels[0]: labels[0]},
        command=("legoclf", "retrain", "--image_dir", labels[0]),
        versions={"numpy": "1.2.3"},
    )


def _points(count: int) -> list[Evaluation]:
    return [Evaluation(n + 1, 1 - 0.5 / (n + 1), 1 / (n + 1), 0.8, 0.6, 0.1) for n in range(count)]


def _sheet(folder: Path) -> str:
    path = folder / "sheet.png"
    Image.new("RGB", (300, 200), (1, 2, 3)).save(path)
    return str(path)
