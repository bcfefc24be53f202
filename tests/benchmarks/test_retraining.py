"""The yardstick does what retrain.py did, and the comparison tells what is extrapolated."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tf_modules
from PIL import Image

from legoclf.benchmarks.retraining import RetrainingResult
from legoclf.benchmarks.yardstick import Reading, Yardstick
from legoclf.cli import main
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.engines import open_engine
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import SgdSettings


@pytest.fixture(scope="module")
def vector() -> FeatureVector:
    return tf_modules.embedded_vector()


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
    assert one.shape == (1, 224, 224, 3)
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
    image = Image.fromarray(random.integers(0, 256, (80, 96, 3), dtype=np.uint8))
    image.save(tmp_path / "noise.png")
    expected = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))
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


def result() -> RetrainingResult:
    right = [Pooled("retrain.py", np.array([1, 0, 0, 1], bool)), Pooled("own", np.array([1, 1, 1, 1], bool))]
    readings = [Reading("one by one", 100, 10.0), Reading("in batches", 200, 10.0)]
    return RetrainingResult(2, 4000, 400_000, readings, 400.0, 0.9, 16, right)


def test_the_ratio_is_of_the_extrapolated_time() -> None:
    """400 000 images at 10 a second are 40 000 s, 100 times 400 s."""
    assert [result().ratio(reading) for reading in result().readings] == [100, 50]


def test_the_text_says_what_is_extrapolated_and_how_sure_the_difference_is() -> None:
    text = result().as_text()
    assert "10.0 images/s measured over 10 s; extrapolated to 400000 images: 11.11 h" in text
    assert "+50.0 points, paired standard error 28.9" in text


def test_the_command_measures_both_and_compares_heads(
    vector: FeatureVector, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(vector.onnx_path.parents[2]))
    flags = ["--seconds", "1", "--steps", "5", "--accuracy_views", "2", "--json"]
    assert main(["benchmark", "retrain", "--image_dir", str(photos), *flags]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["passes"] == 500
    assert set(measured["ratios"]) == {"one by one", "in batches"}
    assert [len(answers) for answers in measured["pooled"].values()] == [20, 20, 20]
