"""The accuracy without test images that have their like in training."""

import pytest
from small_report import report_of

from legoclf.data.dataset import ImageItem
from legoclf.retrain.near_duplicates import NearDuplicate, NearDuplicates
from legoclf.retrain.report.duplicates import duplicates
from legoclf.retrain.report.markup import Pictures


def told(split: str, other: str) -> str:
    """Of four test images the first is wrong; it, as of ``split``, has its like in ``other``."""
    report = report_of([0, 0, 1, 1], [1, 0, 1, 1], ["a", "b"])
    items = ImageItem("", report.paths[0], 0, split), ImageItem("", "twin", 0, other)
    found = NearDuplicates([NearDuplicate(*items, 0.995, False)], 5)
    return "".join(duplicates(found, report, Pictures({})))


def test_a_test_image_that_was_trained_on_is_left_out() -> None:
    assert "100.0 % of 3 are named right, against 75.0 % of all" in told("test", "train")


@pytest.mark.parametrize("splits", [("validation", "train"), ("test", "validation")])
def test_others_change_nothing_of_the_accuracy(splits: tuple[str, str]) -> None:
    assert "named right" not in told(*splits)


def test_none_is_said_to_be_none() -> None:
    report = report_of([0, 1], [0, 1], ["a", "b"])
    assert "None among 7 images" in "".join(duplicates(NearDuplicates([], 7), report, Pictures({})))
