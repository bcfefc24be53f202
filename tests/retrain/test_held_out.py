"""Calibration in a run of `legoclf retrain`: told, recorded, in every graph, and left out on demand."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from legoclf.bundle import Bundle
from legoclf.retrain.cross_validate import Sample, out_of_fold_logits, smallest_class
from legoclf.retrain.heads import Features, Head
from legoclf.retrain.held_out import calibrate_network
from legoclf.retrain.settings import Settings

Train = Callable[..., int]


def samples() -> list[Sample]:
    """Twelve images in two classes, whose feature is their own number."""
    return [Sample(f"{n % 2}/{n}.jpg", n % 2, np.full((2, 1), n, np.float32)) for n in range(12)]


def test_no_image_is_answered_by_a_head_that_saw_it_and_answers_keep_their_order() -> None:
    seen: set[float] = set()

    class Watching(Head):
        def logits(self, rows: np.ndarray) -> np.ndarray:
            assert not seen & set(rows[:, 0].tolist())
            return np.repeat(rows, 2, axis=1)

    def trainer(train: Features, validation: Features) -> Head:
        assert not len(validation)
        seen.clear()
        seen.update(train.rows[:, 0].tolist())
        return Watching(np.zeros((1, 2)), np.zeros(2), {})

    assert out_of_fold_logits(samples(), 3, trainer)[:, 0].tolist() == list(range(12))


def test_the_smallest_class_is_counted_in_groups() -> None:
    torn = Sample("1/11_nohash_b.jpg", 1, np.zeros((1, 1), np.float32))
    assert smallest_class([*samples()[:3], torn, torn]) == 2


@pytest.mark.parametrize("head", ["lbfgs", "sgd"])
def test_calibration_is_printed_and_recorded(
    train: Train, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str
) -> None:
    train(photos, tmp_path, f"--head={head}")
    bundle = Bundle.open(str(tmp_path / "colours.bundle"))
    record = bundle.metrics["calibration"]
    assert record["source"] == "out-of-fold"
    assert record["images"] == bundle.metrics["images"]["train"] + bundle.metrics["images"]["validation"]
    assert bundle.provenance["head"]["temperature"] == record["temperature"]
    assert f"Calibration: temperature {record['temperature']:.2f} from" in capsys.readouterr().out


def test_the_graph_is_that_of_the_uncalibrated_head_divided_by_the_temperature(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    for name, flags in (("with", ()), ("without", ("--no_calibration",))):
        train(photos, tmp_path / name, "--how_many_training_steps=60", *flags)
    bundles = [Bundle.open(str(tmp_path / name / "colours.bundle")) for name in ("with", "without")]
    warm, plain = (np.load(bundle.file("golden.npz"))["logits"] for bundle in bundles)
    temperature = bundles[0].metrics["calibration"]["temperature"]
    assert temperature != 1.0
    # Rounding of float32 weights, and of the temperature to six digits in the record.
    assert np.allclose(warm * temperature, plain, rtol=1e-4, atol=1e-5)


def test_no_calibration_leaves_no_record(train: Train, photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path, "--no_calibration")
    record = json.loads((tmp_path / "colours.bundle" / "model.json").read_text(encoding="utf-8"))
    assert "calibration" not in record["metrics"]
    assert "temperature" not in record["provenance"]["head"]


def test_without_enough_images_for_folds_validation_images_serve(
    train: Train, own_photos: Path, tmp_path: Path
) -> None:
    for photo in sorted((own_photos / "red").iterdir())[4:]:
        photo.unlink()
    train(own_photos, tmp_path)
    metrics = Bundle.open(str(tmp_path / "colours.bundle")).metrics
    assert metrics["calibration"]["source"] == "validation"
    assert metrics["calibration"]["images"] == metrics["images"]["validation"]


@pytest.mark.parametrize(("sureness", "expected"), [(8.0, "less"), (0.25, "as")])
def test_a_network_that_learnt_is_made_less_sure_on_demand_and_never_surer(
    sureness: float, expected: str
) -> None:
    """Its validation images have chosen its epoch: where they flatter it, it stays as sure as it is."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 400)
    rows = (random.normal(0, 1, (400, 3)) + 1.5 * np.eye(3)[labels]).astype(np.float32)
    head = Head(np.eye(3, dtype=np.float32) * np.float32(sureness), np.zeros(3, np.float32), {})
    nothing = Features(rows[:0], labels[:0])
    features = {"train": nothing, "validation": Features(rows, labels), "test": nothing}
    _, calibration = calibrate_network(Settings("photos", Path("out.bundle")), head, features)
    assert calibration is not None
    assert calibration.temperature > 2 if expected == "less" else calibration.temperature == 1
