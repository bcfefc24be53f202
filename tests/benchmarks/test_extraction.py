"""The extraction benchmark: what it measures is what it says, on a few small rounds."""

import json
from pathlib import Path

import pytest
import tf_modules

from legoclf.benchmarks.extraction import ExtractionResult, make_photos
from legoclf.cli import main
from legoclf.image import read_image


@pytest.fixture
def vector_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded network as the tests have converted it, not the user's own copy."""
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(tf_modules.embedded_vector().onnx_path.parents[2]))


@pytest.mark.usefixtures("vector_cache")
def test_every_round_is_kept_as_a_raw_sample(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--images", "3", "--views", "1", "--rounds", "2", "--extractor", "openvino"]
    assert main(["benchmark", "extract", *flags, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["images"], result["passes"]) == (3, 6)
    own, other = result["extraction"]
    assert own.startswith("onnxruntime ")
    assert other.startswith("openvino ")
    for seconds in (result["bare"], *result["extraction"].values()):
        assert len(seconds) == 2
        assert min(seconds) > 0


@pytest.mark.usefixtures("vector_cache")
def test_images_of_the_users_own_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_photos(tmp_path, 5)
    assert (
        main(
            [
                "benchmark",
                "extract",
                "--image_dir",
                str(tmp_path),
                "--images",
                "4",
                "--rounds",
                "2",
                "--views",
                "0",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.startswith("4 images, 4 passes a round")


def test_ratios_are_medians_of_the_turns() -> None:
    turns = {"ort": [2.0, 4.0, 1.0], "other": [1.0, 2.0, 0.5]}
    result = ExtractionResult(10, 50, 2, {"slow": [3.0], "fast": [1.0]}, [1.0, 1.0, 1.0], turns)
    assert result.fastest == "fast"
    assert result.as_json()["ratios"] == {
        "extraction, ort, of the bare rate": 0.5,
        "extraction, other, of the bare rate": 1.0,
        "extraction, other, of extraction, ort": 2.0,
    }
    assert result.rate([2.0]) == 25


def test_the_made_photos_are_640_by_480_and_differ(tmp_path: Path) -> None:
    first, second = make_photos(tmp_path, 2)
    assert read_image(str(first)).shape == (480, 640, 3)
    assert first.read_bytes() != second.read_bytes()


def test_a_folder_without_images_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "extract", "--image_dir", str(tmp_path)]) == 1
    assert "holds no image" in capsys.readouterr().err


def test_too_few_rounds_for_quartiles_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "extract", "--rounds", "1"]) == 2
    assert "--rounds: got 1, expected 2 or more" in capsys.readouterr().err
