"""`legoclf retrain` of networks that learn as a whole: the same bundle, checks and commands as for a head."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from legoclf.bundle import Bundle
from legoclf.cli import main
from legoclf.retrain.whole_network import serves_better

Retrain = Callable[..., int]

#: Epochs, blocks and sizes at which a training takes seconds; no validation image, for fine-tuning of one
#: epoch beats no head, and would fall back to it.
ARCHITECTURES = {
    "lenet": ("--architecture=lenet", "--epochs=3"),
    "convnet": ("--architecture=convnet", "--epochs=2", "--input_size=32", "--blocks=2"),
    "fine_tune": ("--fine_tune", "--epochs=1", "--input_size=96", "--blocks=2", "--validation_percentage=0"),
}

SOURCES = {"lenet": "scratch", "convnet": "scratch", "fine_tune": "fine_tuned"}


@pytest.fixture
def retrain(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `legoclf retrain` with all outputs below tmp_path; its exit code."""
    monkeypatch.setenv("LEGOCLF_CACHE_DIR", str(cache))

    def run(photos: Path, *flags: str, bundle: str = "out.bundle") -> int:
        places = {
            "bundle": tmp_path / bundle,
            "bottleneck_dir": tmp_path / "bottleneck",
            "summaries_dir": tmp_path / "logs",
            "output_graph": tmp_path / "graph.pb",
            "output_labels": tmp_path / "labels.txt",
            "checkpoint_path": tmp_path / "checkpoint",
            "intermediate_output_graphs_dir": tmp_path / "steps",
        }
        return main(
            [
                "retrain",
                f"--image_dir={photos}",
                *(f"--{name}={place}" for name, place in places.items()),
                *flags,
            ]
        )

    return run


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_bundle_of_every_architecture_says_the_same_in_every_graph(
    name: str, retrain: Retrain, photos: Path, tmp_path: Path
) -> None:
    assert retrain(photos, *ARCHITECTURES[name]) == 0
    assert Bundle.open(str(tmp_path / "out.bundle")).provenance["module"]["source"] == SOURCES[name]
    assert main(["verify", str(tmp_path / "out.bundle"), "--image_dir", str(photos)]) == 0


def test_a_small_network_learns_through_the_command(retrain: Retrain, photos: Path, tmp_path: Path) -> None:
    """Three colours: chance is a third."""
    assert retrain(photos, "--architecture=convnet", "--input_size=32", "--blocks=2", "--epochs=8") == 0
    assert Bundle.open(str(tmp_path / "out.bundle")).metrics["test_accuracy"] > 0.8


@pytest.mark.slow
def test_fine_tuning_that_serves_validation_no_better_leaves_the_head(
    retrain: Retrain, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At a learning rate that ruins the network, every validation image speaks against it."""
    flags = ("--fine_tune", "--epochs=1", "--input_size=96", "--learning_rate=5", "--blocks=1")
    assert retrain(photos, *flags) == 0
    assert Bundle.open(str(tmp_path / "out.bundle")).provenance["module"]["source"] == "embedded"
    assert "the head alone is kept" in caplog.text


@pytest.mark.slow
def test_fine_tuning_is_cross_validated_against_the_head_on_the_same_folds(
    retrain: Retrain, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--fine_tune", "--epochs=1", "--input_size=96", "--blocks=1", "--cross_validate=3")
    assert retrain(photos, *flags) == 0
    assert "fine_tune against lbfgs: " in capsys.readouterr().out


def test_a_training_that_was_resumed_has_the_curve_of_one_that_never_stopped(
    retrain: Retrain, photos: Path, tmp_path: Path
) -> None:
    lenet = ("--architecture=lenet", "--average_decay=0.9", "--random_crop=10")
    assert retrain(photos, *lenet, "--epochs=4", bundle="whole.bundle") == 0
    folder = f"--checkpoint_dir={tmp_path / 'checkpoints'}"
    assert retrain(photos, *lenet, "--epochs=2", folder, bundle="half.bundle") == 0
    assert retrain(photos, *lenet, "--epochs=4", folder, "--resume=latest", bundle="rest.bundle") == 0
    whole, rest = (
        (tmp_path / f"{name}.bundle" / "frozen_graph.pb").read_bytes() for name in ("whole", "rest")
    )
    assert whole == rest


def test_images_that_do_not_decode_are_told_and_left_out(
    retrain: Retrain, own_photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (own_photos / "red" / "torn.jpg").write_bytes((own_photos / "red" / "00.jpg").read_bytes()[:200])
    assert retrain(own_photos, "--architecture=lenet", "--epochs=1") == 0
    assert re.search(r"skipped: .*torn\.jpg", caplog.text)


def test_the_model_summary_lists_the_layers_that_were_trained(
    retrain: Retrain, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain(photos, "--architecture=lenet", "--epochs=1", "--print_model_summary") == 0
    assert "conv_1" in capsys.readouterr().out


def test_the_model_summary_leaves_json_alone(
    retrain: Retrain, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain(photos, "--architecture=lenet", "--epochs=1", "--print_model_summary", "--json") == 0
    assert json.loads(capsys.readouterr().out)["labels"]


def test_uneven_classes_are_told(
    retrain: Retrain, own_photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in sorted((own_photos / "grün").iterdir())[7:]:
        path.unlink()
    assert retrain(own_photos, "--architecture=lenet", "--epochs=1", "--balance=weight") == 0
    assert "classes are uneven: " in caplog.text


def test_it_ends_with_a_line_on_what_to_try_next(
    retrain: Retrain, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain(photos, "--architecture=lenet", "--epochs=1") == 0
    assert "\nnext: " in capsys.readouterr().out


def test_the_answers_that_are_surer_of_the_truth_serve_better() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1])
    sure = np.where(np.arange(2) == labels[:, None], 2.0, 0.0).astype(np.float32)
    torn = sure.copy()
    torn[0] = torn[0, ::-1]
    assert serves_better(sure, torn, labels)
    assert not serves_better(torn, sure, labels)


def test_where_no_image_was_held_out_the_first_is_taken() -> None:
    nothing = np.zeros((0, 2), np.float32)
    assert serves_better(nothing, nothing, np.zeros(0, np.int64))


def test_a_temperature_alone_makes_no_answers_better() -> None:
    """Each is judged at the temperature that suits it: half as sure of the same is as good, to rounding."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    logits = (random.normal(0, 1, (300, 3)) + 2 * np.eye(3)[labels]).astype(np.float32)
    torn = logits.copy()
    torn[:30] = torn[:30, ::-1]
    assert serves_better(logits / 8, torn, labels)
