"""`legoclf benchmark training`: every figure has its samples, ratios are within the run, gaps are told."""

import json
from pathlib import Path

import pytest
import small_training

from legoclf.benchmarks import peers_keras, peers_timm, training
from legoclf.benchmarks.device.result import Result, load, parse
from legoclf.benchmarks.peers import Legoclf
from legoclf.benchmarks.training import Extent, measure
from legoclf.cli import main
from legoclf.errors import LegoclfError

TINY = ["--images", "60", "--seconds", "1", "--steps", "20", "--rounds", "2", "--epochs", "2", "--views", "1"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_training.write_photos(tmp_path_factory.mktemp("data") / "photos", 20)


@pytest.fixture(scope="module")
def result(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One run of the command, read back from the file that it wrote."""
    module, cache = small_training.module()
    target = tmp_path_factory.mktemp("result") / "training.json"
    patch = pytest.MonkeyPatch()
    with patch.context() as environment:
        environment.setenv("LEGOCLF_CACHE_DIR", str(cache))
        flags = ["--image_dir", str(photos), "--tfhub_module", str(module), "--output", str(target)]
        assert main(["benchmark", "training", *flags, *TINY]) == 0
    return load(str(target))


def test_all_stages_are_timed_on_one_thread_and_on_all_cores(result: Result) -> None:
    for stage in ("decode", "preprocess", "augment", "extract"):
        for threads in ("one thread", "all cores"):
            assert result.find(f"{stage}, {threads}").unit == "1/s"
    assert result.find("head").unit == "1/s"


def test_what_is_compared_took_the_same_turns(result: Result) -> None:
    passes = 2 * result.facts["split"]["train"]  # of two epochs
    assert {
        f"time, Keras fit, {passes} passes, extrapolated, of legoclf's",
        "passes a second, legoclf, of Keras fit",
        "passes a second, legoclf, of retrain.py, one by one",
        "rate of fitting, legoclf's head, of scikit-learn, LogisticRegressionCV",
        "extraction, onnxruntime fp32, of the bare rate",
        "extract, all cores, of one thread",
    } <= {ratio.name for ratio in result.ratios}
    for ratio in result.ratios:
        assert len(result.find(ratio.numerator).turns) == len(result.find(ratio.denominator).turns)


def test_everyone_is_tested_on_the_same_images_and_held_against_legoclf(result: Result) -> None:
    tested = [each for each in result.series if each.unit == "right"]
    assert [each.name for each in tested][:3] == [
        f"test images, {name}" for name in ("legoclf", "scikit-learn", "retrain.py's SGD")
    ]
    assert {len(each.turns[0]) for each in tested} == {result.facts["split"]["test"]}
    assert all(each["against"] == "legoclf" for each in result.facts["differences"])
    assert len(result.facts["differences"]) == len(tested) - 1


def test_the_facts_tell_the_data_set(result: Result) -> None:
    assert (result.facts["images"], result.facts["classes"]) == (60, 3)
    assert sum(result.facts["split"].values()) == 60
    split = result.facts["split"]
    assert result.facts["passes"] == 2 * split["train"] + split["validation"] + split["test"]


def test_who_cannot_take_part_is_left_out_and_told(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise LegoclfError("not today")

    for name in ("ScikitLearn", "open_yardstick"):
        monkeypatch.setattr(training, name, refuse)
    monkeypatch.setattr(peers_keras, "KerasFit", refuse)
    monkeypatch.setattr(peers_timm, "TimmProbe", refuse)
    measured = measure(small_training.vector(), photos, Extent(12, 2, 1, 1.0, 1, 1, 0))
    assert measured.facts["left_out"] == dict.fromkeys(
        ("scikit-learn", "retrain.py", "Keras fit", "timm"), "not today"
    )
    assert "left out: timm: not today" in measured.facts["notes"]
    names = {each.name for each in measured.series}
    assert all({ratio.numerator, ratio.denominator} <= names for ratio in measured.ratios)


def test_json_holds_the_raw_samples(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, cache = small_training.module()
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(cache))
    monkeypatch.setattr(training, "_contenders", lambda task, *_: ([Legoclf(task)], {}))
    flags = ["--image_dir", str(photos), "--tfhub_module", str(module), "--short", "--images", "12", "--json"]
    assert main(["benchmark", "training", *flags]) == 0
    result = parse(json.loads(capsys.readouterr().out), "stdout")
    assert result.kind == "training"
    assert result.facts["extent"]["images"] == 12  # a flag goes before --short
    assert len(result.find("legoclf, photos to head").turns) == 6


@pytest.mark.parametrize("flag", ["images", "epochs", "rounds", "seconds", "steps"])
def test_too_little_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "training", "--image_dir", ".", f"--{flag}", "0"]) == 2
    assert f"--{flag}: got 0" in capsys.readouterr().err


def test_a_checkpoint_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "training", "--image_dir", ".", "--timm_checkpoint", "/no/such.pth"]) == 2
    assert "/no/such.pth: no such file" in capsys.readouterr().err
