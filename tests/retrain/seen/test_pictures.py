"""Pictures in TensorBoard: the confusion matrix and the mistakes."""

import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_report import HOSTILE, pictures_of, report_of

from legoclf.retrain.evaluate import Report, evaluate
from legoclf.retrain.seen.events import EventFile
from legoclf.retrain.seen.pictures import MOST_MISTAKES, add_pictures

Images = Callable[[Path], dict[str, list[bytes]]]


def write(folder: Path, report: Report, files: Mapping[str, str]) -> Path:
    with EventFile(folder) as events:
        add_pictures(events, report, files)
    return folder


def pixels_of(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))


def test_the_confusion_matrix_is_an_image_of_the_size_that_is_told(
    tmp_path: Path, read_images: Images
) -> None:
    report = report_of([0, 1, 1], [0, 1, 0], ["a", "b"])
    width, height, matrix = read_images(write(tmp_path, report, {}))["confusion_matrix"]
    assert Image.open(io.BytesIO(matrix)).size == (int(width), int(height))


def test_each_mistake_is_an_image_of_one_size(tmp_path: Path, read_images: Images) -> None:
    report = report_of([0, 0, 1, 1], [1, 0, 0, 1], ["a", "b"])
    images = read_images(write(tmp_path / "logs", report, pictures_of(report, tmp_path)))
    width, height, *cards = images["misclassified"]
    assert [Image.open(io.BytesIO(card)).size for card in cards] == 2 * [(int(width), int(height))]


def test_the_surest_mistakes_come_first(tmp_path: Path, read_images: Images) -> None:
    logits = np.array([[0, 1], [0, 9], [0, 4]], np.float32)
    report = evaluate(logits, np.zeros(3, np.int64), ["1.jpg", "9.jpg", "4.jpg"], ["a", "b"])
    assert report is not None
    files = {}
    for path in report.paths:
        files[path] = str(tmp_path / path)
        Image.new("RGB", (8, 8), (20 * int(path[0]), 0, 0)).save(files[path], quality=100)
    _, _, *cards = read_images(write(tmp_path / "logs", report, files))["misclassified"]
    reds = [int(pixels_of(card)[112, 112, 0]) for card in cards]
    assert reds == pytest.approx([180, 80, 20], abs=6)


def test_no_more_mistakes_are_shown_than_fit(tmp_path: Path, read_images: Images) -> None:
    report = report_of([0] * 30, [1] * 30, ["a", "b"])
    images = read_images(write(tmp_path / "logs", report, pictures_of(report, tmp_path)))
    assert len(images["misclassified"]) == 2 + MOST_MISTAKES


@pytest.mark.parametrize("labels", [["c", "b"], ["a", "c"]])
def test_label_and_prediction_stand_below_the_image(
    tmp_path: Path, read_images: Images, labels: list[str]
) -> None:
    cards = []
    for number, names in enumerate((["a", "b"], labels)):
        report = report_of([0], [1], names)
        images = read_images(write(tmp_path / str(number), report, pictures_of(report, tmp_path)))
        cards.append(pixels_of(images["misclassified"][2]))
    one, other = cards
    assert (one[:224] == other[:224]).all()
    assert (one[224:] != other[224:]).any()


def test_an_image_that_cannot_be_read_is_passed_over(tmp_path: Path, read_images: Images) -> None:
    report = report_of([0, 0], [1, 1], ["a", "b"])
    files = pictures_of(report, tmp_path)
    Path(files[report.paths[0]]).unlink()
    images = read_images(write(tmp_path / "logs", report, files))
    assert len(images["misclassified"]) == 2 + 1


def test_without_mistakes_there_is_the_matrix_alone(tmp_path: Path, read_images: Images) -> None:
    report = report_of([0, 1], [0, 1], ["a", "b"])
    images = read_images(write(tmp_path / "logs", report, pictures_of(report, tmp_path)))
    assert set(images) == {"confusion_matrix"}


def test_names_of_other_scripts_and_with_line_breaks_are_drawn(tmp_path: Path, read_images: Images) -> None:
    report = report_of([0, 1, 2, 3], [1, 2, 3, 0], HOSTILE)
    images = read_images(write(tmp_path / "logs", report, pictures_of(report, tmp_path)))
    assert len(images["misclassified"]) == 2 + len(HOSTILE)


def test_without_matplotlib_a_warning_says_how_to_get_it(
    tmp_path: Path, read_images: Images, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert read_images(write(tmp_path, report_of([0], [1], ["a", "b"]), {})) == {}
    assert "pip install 'legoclf[train]'" in caplog.text
