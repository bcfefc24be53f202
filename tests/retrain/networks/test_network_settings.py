"""The flags of networks that learn as a whole: what goes together, and one clear line for what does not."""

import argparse

import pytest

from legoclf.errors import UsageError
from legoclf.retrain.command import add_arguments, settings_of
from legoclf.retrain.settings import FINE_TUNE_AUGMENTATION, Settings


def settings(*flags: str) -> Settings:
    """The settings that flags mean, without a run."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parser.set_defaults(command_line=["legoclf", "retrain"])
    return settings_of(parser.parse_args(["--image_dir", "bricks", *flags]))


def test_without_a_flag_a_head_learns_alone() -> None:
    assert not settings().network.learns


def test_the_learning_rate_and_the_batch_of_retrain_py_are_those_of_a_network_that_learns() -> None:
    found = settings("--fine_tune", "--learning_rate=0.001", "--train_batch_size=8")
    assert found.head == "lbfgs"
    assert found.network.of_fine_tuning().learning_rate == 0.001
    assert found.network.of_fine_tuning().batch_size == 8


def test_steps_of_sgd_are_of_the_head_that_fine_tuning_begins_with() -> None:
    found = settings("--fine_tune", "--how_many_training_steps=100")
    assert found.head == "sgd"
    assert found.sgd.how_many_training_steps == 100


def test_fine_tuning_distorts_its_views_unless_told_how() -> None:
    assert settings("--fine_tune").fine_tune_augmentation == FINE_TUNE_AUGMENTATION
    told = settings("--fine_tune", "--random_crop=5")
    assert told.fine_tune_augmentation == told.augmentation
    assert told.fine_tune_augmentation.random_rotation == 0


def test_fine_tuning_without_distortions_can_be_asked_for() -> None:
    assert not settings("--fine_tune", "--random_crop=0").fine_tune_augmentation.active


def test_an_average_of_zero_is_none() -> None:
    assert settings("--fine_tune", "--average_decay=0").network.of_fine_tuning().average_decay is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs=3"], "--epochs is for networks that learn as a whole: add --fine_tune or --architecture"),
        (["--resume=latest"], "--resume is for networks that learn as a whole"),
        (["--fine_tune", "--architecture=lenet"], "--fine_tune goes on from a pretrained network, and lenet"),
        (["--fine_tune", "--optimizer=sgd"], "--fine_tune has its own optimizer, Adam"),
        (["--fine_tune", "--tfhub_module=x"], "--fine_tune trains the embedded MobileNetV2"),
        (["--fine_tune", "--blocks=0"], "--blocks: got 0, expected 1 or more"),
        (["--fine_tune", "--train_batch_size=0"], "--train_batch_size: got 0, expected 1 or more"),
        (["--architecture=lenet", "--head=sgd"], "lenet has no head on frozen features, which --head is for"),
        (["--architecture=lenet", "--eval_step_interval=5"], "which --eval_step_interval is for"),
        (["--architecture=lenet", "--tfhub_module=x"], "lenet is a network of its own"),
        (["--architecture=lenet", "--depth_decay=0.5"], "--depth_decay goes with --fine_tune"),
        (["--architecture=lenet", "--label_smoothing=2"], "--label_smoothing: got 2.0, expected 0.0 to 0.9"),
        (["--false_reject_rate=0.9"], "--false_reject_rate: got 0.9, expected 0.0 to 0.5"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(flags: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings(*flags)
