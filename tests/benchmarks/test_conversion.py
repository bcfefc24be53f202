"""The conversion benchmark: every artefact is made as the bundle has it, each step is compared with the one
before, what cannot be made is told, and the bundle stays as it is.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import small_bundle
import tf_modules
import tiny_bundle

from legoclf.benchmarks.conversion import Extent, measure
from legoclf.benchmarks.conversion_steps import Step, drift, images_for
from legoclf.benchmarks.device.result import Measured
from legoclf.bundle import FP16_MODEL, ONNX_MODEL, Bundle
from legoclf.cli import main
from legoclf.errors import LegoclfError

EXTENT = Extent(rounds=1, planned=4)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle.paint(tmp_path_factory.mktemp("photos") / "colours", 12)


@pytest.fixture(scope="module")
def bundle(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """As `legoclf retrain` makes it on a module of a few convolutions."""
    folder = tmp_path_factory.mktemp("trained")
    module = tf_modules.save_tf2_module(folder / "module")
    flags = [f"--image_dir={photos}", f"--tfhub_module={module}", f"--bundle={folder / 'colours.bundle'}"]
    flags += [f"--bottleneck_dir={folder / 'features'}"]
    places = ("output_graph", "output_labels", "summaries_dir", "checkpoint_path")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEGOCLF_CACHE_DIR", str(folder / "cache"))
        assert main(["retrain", *flags, *(f"--{place}={folder / place}" for place in places)]) == 0
    return Bundle.open(str(folder / "colours.bundle"))


@pytest.fixture(scope="module")
def measured(bundle: Bundle, photos: Path) -> Measured:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEGOCLF_CACHE_DIR", str(Path(bundle.path).parent / "cache"))
        return measure(bundle, str(photos), EXTENT, with_int8=True)


def hashes(folder: str) -> dict[str, str]:
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_bundle_is_left_as_it_is(bundle: Bundle, photos: Path) -> None:
    before = hashes(bundle.path)
    measure(bundle, str(photos), Extent(rounds=1, planned=2, anew=False), with_int8=False)
    assert hashes(bundle.path) == before


def test_every_artefact_is_timed_and_weighed(measured: Measured) -> None:
    graphs = ["frozen graph", "ONNX", "SavedModel", "jetson-inference ONNX", "FP16 ONNX", "INT8 ONNX"]
    names = {series.name for series in measured.series}
    for name in [*graphs, "feature vector"]:
        assert f"make {name}" in names
        assert measured.facts["bytes"][name] > 0


def test_what_is_made_of_the_head_is_what_the_training_wrote_to_the_byte(measured: Measured) -> None:
    assert measured.facts["same_as_in_bundle"] == {"frozen graph": True, "ONNX": True, "SavedModel": True}


def test_each_step_is_compared_with_the_one_before_it(measured: Measured) -> None:
    steps = {step["step"]: step for step in measured.facts["drift"] if not step["step"].startswith("engine ")}
    assert {name: step["before"] for name, step in steps.items()} == {
        "training head": None,
        "frozen graph": "training head",
        "SavedModel": "frozen graph",
        "ONNX": "frozen graph",
        "jetson-inference ONNX": "ONNX",
        "FP16 ONNX": "ONNX",
        "INT8 ONNX": "FP16 ONNX",
    }
    for name in ("frozen graph", "ONNX"):
        # float32 sums in another order; logits of some 10.
        assert steps[name]["from_before"]["largest_logit_difference"] < 1e-4
    # FP16 keeps 11 bits: its rounding shows in a logit, and INT8's more.
    fp16, int8 = (steps[name]["from_fp32"]["largest_logit_difference"] for name in ("FP16 ONNX", "INT8 ONNX"))
    assert 1e-4 < fp16 < int8
    assert steps["ONNX"]["from_fp32"] is None


def test_the_images_are_those_that_the_training_held_out(measured: Measured, bundle: Bundle) -> None:
    assert measured.facts["images"] == {"set": "held-out", "count": bundle.metrics["images"]["test"]}


def by_name(steps: list[Step]) -> dict[str, Step]:
    return {step.name: step for step in steps}


def test_the_step_that_goes_wrong_is_the_one_that_shows(tmp_path: Path) -> None:
    """The last convolution of FP16 doubled: beyond its own rounding a hundred times over."""
    whole = small_bundle.write_bundle(tmp_path / "colours.bundle")
    images = images_for(whole, None, 200)
    sound, _ = drift(whole, None, images)
    last = [node.name for node in _nodes(whole) if node.op_type == "Conv"][-1]
    damaged = small_bundle.changed_onnx(whole, FP16_MODEL, small_bundle.scale_weights(last, 2.0))
    found, _ = drift(damaged, None, images)
    for name, step in by_name(found).items():
        before, now = by_name(sound)[name].from_before, step.from_before
        if before is None or now is None:
            continue
        if name == "FP16 ONNX":
            assert now.logit is not None
            assert before.logit is not None
            assert now.logit > 100 * before.logit
        else:
            assert now.logit == before.logit


def _nodes(bundle: Bundle) -> list[Any]:
    import onnx

    return list(onnx.load(bundle.file(ONNX_MODEL)).graph.node)


def test_what_a_bundle_of_other_making_lacks_is_told_with_its_reason(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle.write_bundle(tmp_path / "tiny.bundle"))
    measured = measure(bundle, None, EXTENT, with_int8=False)
    missing = measured.facts["not_made"]
    for name in ("frozen graph", "ONNX", "feature vector"):
        assert "`legoclf retrain` did not make this bundle" in missing[name]
    assert "holds no frozen_graph.pb" in missing["SavedModel"]
    assert missing["INT8 ONNX"].startswith("not asked for")
    assert all(
        any(note.startswith(f"not made: {name}: ") for note in measured.facts["notes"]) for name in missing
    )
    assert measured.facts["images"] == {"set": "golden", "count": len(tiny_bundle.golden_images())}


def test_without_tensorrt_the_engines_are_told_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_here() -> None:
        raise LegoclfError("there is no TensorRT here")

    monkeypatch.setattr("legoclf.benchmarks.conversion_artefacts.find_tensorrt", none_here)
    bundle = Bundle.open(tiny_bundle.write_bundle(tmp_path / "tiny.bundle"))
    missing = measure(bundle, None, EXTENT, with_int8=False).facts["not_made"]
    assert missing["engine fp32"] == missing["engine fp16"] == "there is no TensorRT here"


def test_the_command_writes_turns_and_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tiny_bundle.write_bundle(tmp_path / "tiny.bundle")
    assert main(["benchmark", "conversion", bundle, "--rounds", "2", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert {len(series["turns"]) for series in record["series"]} == {2}
    assert [ratio["numerator"] for ratio in record["ratios"]] == ["make FP16 ONNX"]


def test_int8_needs_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "conversion", "--int8"]) == 2
    assert "name the data set by --image_dir" in capsys.readouterr().err
