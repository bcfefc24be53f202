"""The extraction benchmark: what it measures is what it says, on a few small rounds."""

import json
from pathlib import Path
from typing import Any

import pytest
import small_training

from legoclf.benchmarks.device.result import parse
from legoclf.benchmarks.extraction import BARE, make_photos, measure, rates_in_turns
from legoclf.cli import main
from legoclf.image import read_image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return small_training.write_photos(tmp_path / "photos", 2)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> str:
    """The handle of a small network, with a cache of the tests' own."""
    saved, cache = small_training.module()
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(cache))
    return str(saved)


def test_every_round_is_a_turn_of_one_raw_sample(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--images", "3", "--views", "1", "--rounds", "2", "--extractor", "openvino"]
    assert main(["benchmark", "extract", "--tfhub_module", module, *flags, "--json"]) == 0
    result = parse(json.loads(capsys.readouterr().out), "stdout")
    assert result.kind == "extraction"
    assert (result.facts["images"], result.facts["passes"]) == (3, 6)
    for name in (BARE, "extraction, onnxruntime fp32", "extraction, openvino fp32"):
        series = result.find(name)
        assert series.unit == "1/s"
        assert [len(turn) for turn in series.turns] == [1, 1]
        assert min(min(turn) for turn in series.turns) > 0


def test_images_of_the_users_own_are_measured(
    module: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--images", "4", "--rounds", "2", "--views", "0", "--output", str(tmp_path / "result.json")]
    assert main(["benchmark", "extract", "--tfhub_module", module, "--image_dir", str(photos), *flags]) == 0
    assert "4 images, 4 passes through the network a round" in capsys.readouterr().out
    assert parse(json.loads((tmp_path / "result.json").read_text()), "result.json").facts["views"] == 0


def test_extraction_is_held_against_the_fastest_bare_way(photos: Path) -> None:
    measured = measure(small_training.vector(), photos, 2, 2, 0)
    tried: dict[str, Any] = {
        each.name: each.summary.median.value for each in measured.series if "batch" in each.name
    }
    assert measured.facts["bare"] == max(tried, key=tried.__getitem__)
    (ratio,) = measured.ratios
    assert (ratio.numerator, ratio.denominator) == ("extraction, onnxruntime fp32", BARE)


def test_a_rate_is_what_a_call_does_by_its_time() -> None:
    calls = []
    (series,) = rates_in_turns({"work": lambda: calls.append(1)}, 3, 10)
    assert len(calls) == 4  # the first warms up
    assert len(series.turns) == 3
    # An append takes far less than a millisecond: 10 of what it does are more than 10 000 a second.
    assert series.summary.median.value > 10_000


def test_the_made_photos_are_640_by_480_and_differ(tmp_path: Path) -> None:
    first, second = make_photos(tmp_path, 2)
    assert read_image(str(first)).shape == (480, 640, 3)
    assert first.read_bytes() != second.read_bytes()


def test_a_folder_without_images_is_told(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--tfhub_module", module, "--image_dir", str(tmp_path)]
    assert main(["benchmark", "extract", *flags]) == 1
    assert "holds no image" in capsys.readouterr().err


def test_too_few_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "extract", "--rounds", "1"]) == 2
    assert "--rounds: got 1, expected 2 or more" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_refused_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "extract", "--output", "/nowhere/at/all.json"]) == 2
    assert "--output" in capsys.readouterr().err
