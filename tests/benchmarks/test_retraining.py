"""The yardstick does what retrain.py did, and the comparison tells what is extrapolated."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_training
from PIL import Image

from legoclf.benchmarks.device.result import Series, parse
from legoclf.benchmarks.retraining import compare, difference_line, extrapolated
from legoclf.benchmarks.yardstick import Yardstick
from legoclf.cli import main
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.engines import open_engine
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import SgdSettings


@pytest.fixture(scope="module")
def vector() -> FeatureVector:
    return small_training.vector()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten noisy photos of each of two colours, 96x80."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for label, colour in (("blue", (30, 60, 200)), ("red", (190, 30, 30))):
        (folder / label).mkdir()
        for index in range(10):
            levels = np.array(colour) + random.normal(0, 12, (80, 96, 3))
            image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
            image.save(folder / label / f"{index}.jpg", quality=95)
    return folder


def make(vector: FeatureVector, photos: Path, augmentation: Augmentation) -> Yardstick:
    paths = sorted(str(path) for path in photos.rglob("*.jpg"))
    labels = [int("red" in path) for path in paths]
    return Yardstick(vector, augmentation, paths, labels, SgdSettings(train_batch_size=4))


@pytest.fixture(scope="module")
def yardstick(vector: FeatureVector, photos: Path) -> Iterator[Yardstick]:
    with make(vector, photos, Augmentation(20, 20, 20, True)) as made:
        yield made


def test_distortions_are_drawn_afresh_each_time(yardstick: Yardstick) -> None:
    one, other = (yardstick.distorted(yardstick.paths[0]) for _ in range(2))
    assert one.shape == (1, 32, 32, 3)
    assert not np.array_equal(one, other)


def test_brightness_stays_within_its_percentage_of_the_plain_image(yardstick: Yardstick) -> None:
    """A photo of one colour: its mean only moves by brightness, and by 1 % from where it is cropped."""
    with Image.open(yardstick.paths[0]) as image:
        plain = np.asarray(image).mean() / 255
    means = np.array([yardstick.distorted(yardstick.paths[0]).mean() for _ in range(40)]) / plain
    assert 0.8 * 0.99 <= means.min() < 0.9
    assert 1.1 < means.max() <= 1.2 * 1.01


def test_without_distortions_an_image_is_resized_bilinearly_and_no_more(
    vector: FeatureVector, tmp_path: Path
) -> None:
    """From a PNG, which every decoder reads alike."""
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    image.save(tmp_path / "noise.png")
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    with Yardstick(vector, Augmentation(), [str(tmp_path / "noise.png")], [0], SgdSettings()) as plain:
        levels = plain.distorted(plain.paths[0])[0] * 255
    # Pillow rounds to whole levels after each of two passes.
    assert np.abs(levels - expected).max() < 1.5


def test_features_are_those_of_the_graph_that_legoclf_trains_on(
    yardstick: Yardstick, vector: FeatureVector
) -> None:
    tensor = yardstick.distorted(yardstick.paths[0])
    expected = open_engine("onnxruntime", vector).features(tensor[0].transpose(2, 0, 1))
    # float32 sums in another order, over 53 layers.
    assert yardstick.features(tensor)[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("way", ["one_by_one", "batched"])
def test_a_reading_ends_at_its_time(yardstick: Yardstick, way: str) -> None:
    reading = getattr(yardstick, way)(0.5)
    assert reading.passes > 0
    assert reading.seconds >= 0.5


def test_the_time_of_all_steps_is_extrapolated_from_the_rate_of_each_turn() -> None:
    """400 000 images at 10 a second are 40 000 s, at 20 half of that."""
    whole = extrapolated(Series("retrain.py, one by one", "1/s", [[10.0], [20.0]]), 400_000)
    assert whole == Series(
        "retrain.py, one by one, 400000 passes, extrapolated", "s", [[40_000.0], [20_000.0]]
    )


def test_a_difference_in_accuracy_comes_with_its_paired_error() -> None:
    """Of four images the reference names two right and the other all: differences 0, 1, 1, 0."""
    reference = Pooled("retrain.py", np.array([1, 0, 0, 1], bool))
    (found,) = compare([Pooled("own", np.array([1, 1, 1, 1], bool))], reference)
    line = "own against retrain.py: +50.0 points (paired standard error 28.9) on 4 images"
    assert difference_line(found) == line


def test_one_image_alone_has_no_error() -> None:
    one = Pooled("own", np.array([True]))
    assert compare([one], one)[0]["standard_error"] is None


def test_the_command_measures_in_turns_and_compares_heads(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, cache = small_training.module()
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(cache))
    small_training.vector()  # so that the process that is timed finds it converted
    flags = ["--seconds", "1", "--steps", "5", "--accuracy_views", "2", "--rounds", "1", "--json"]
    flags += ["--tfhub_module", str(module)]
    assert main(["benchmark", "retrain", "--image_dir", str(photos), *flags]) == 0
    result = parse(json.loads(capsys.readouterr().out), "stdout")
    assert result.facts["passes"] == 500
    one_by_one, batched = result.ratios
    assert one_by_one.numerator == "retrain.py, one by one, 500 passes, extrapolated"
    assert batched.denominator == "legoclf retrain, start to finish, nothing cached"
    pooled = [each for each in result.series if each.name.startswith("5-fold")]
    assert [len(each.turns[0]) for each in pooled] == [20, 20, 20]
    assert len(result.facts["differences"]) == 2
