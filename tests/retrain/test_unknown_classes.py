"""Classes that are kept from training: what is left is a data set of its own, and they are offered whole."""

from collections.abc import Callable
from pathlib import Path

import pytest

from legoclf.bundle import Bundle
from legoclf.data.dataset import DataSet, ImageItem
from legoclf.errors import UsageError
from legoclf.retrain.unknown_classes import set_apart


def dataset() -> DataSet:
    images = [ImageItem(f"/x/{name}", name, index, "train") for index, name in enumerate("abcd")]
    return DataSet("/x", list("abcd"), images)


def test_the_classes_that_are_left_count_from_zero_without_gaps() -> None:
    known, _ = set_apart(dataset(), ["b"])
    assert known.labels == ["a", "c", "d"]
    assert [(item.relative, item.label_index) for item in known.images] == [("a", 0), ("c", 1), ("d", 2)]


def test_the_others_are_offered_all_of_them() -> None:
    _, unknowns = set_apart(dataset(), ["d", "b"])
    assert unknowns.labels == ["b", "d"]
    assert [item.relative for item in unknowns.as_data_set().by_split("test")] == ["b", "d"]


def test_none_named_leaves_the_data_set_as_it_is() -> None:
    known, unknowns = set_apart(dataset(), [])
    assert known == dataset()
    assert not unknowns.images


def test_a_class_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="--unknown_classes e: there is no such class; there are a, b, c, d"):
        set_apart(dataset(), ["a", "e"])


def test_two_classes_are_left_at_least() -> None:
    with pytest.raises(UsageError, match=r"1 class\(es\) would be left"):
        set_apart(dataset(), ["a", "b", "c"])


def test_a_run_tells_how_well_they_are_told(
    train: Callable[..., int], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(photos, tmp_path, "--unknown_classes=grün") == 0
    assert "Unknown classes offered (grün; N=30): AUROC " in capsys.readouterr().out
    bundle = Bundle.open(str(tmp_path / "colours.bundle"))
    assert bundle.labels == ["Blue brick", "red"]
    assert bundle.novelty is not None
    assert bundle.metrics["novelty"]["unknown"]["images"] == 30


def test_a_rate_of_zero_leaves_novelty_out(train: Callable[..., int], photos: Path, tmp_path: Path) -> None:
    assert train(photos, tmp_path, "--false_reject_rate=0") == 0
    bundle = Bundle.open(str(tmp_path / "colours.bundle"))
    assert bundle.novelty is None
    assert "novelty" not in bundle.metrics
