"""The flags of `legoclf retrain`: what they mean together, and the refusal of what they cannot mean."""

import argparse

import pytest

from legoclf.errors import UsageError
from legoclf.retrain.flag_settings import settings_of
from legoclf.retrain.flags import add_flags
from legoclf.retrain.settings import Settings


def settings(*flags: str) -> Settings:
    """The settings that flags mean, without a run."""
    parser = argparse.ArgumentParser()
    add_flags(parser)
    parser.set_defaults(command_line=["legoclf", "retrain"])
    return settings_of(parser.parse_args(["--image_dir", "bricks", *flags]))


RETRAIN_PY = {
    "image_dir": "x",
    "output_graph": "x",
    "output_labels": "x",
    "intermediate_output_graphs_dir": "x",
    "intermediate_store_frequency": "5",
    "summaries_dir": "x",
    "how_many_training_steps": "5",
    "learning_rate": "0.1",
    "testing_percentage": "10",
    "validation_percentage": "10",
    "eval_step_interval": "5",
    "train_batch_size": "5",
    "test_batch_size": "-1",
    "validation_batch_size": "-1",
    "bottleneck_dir": "x",
    "final_tensor_name": "x",
    "random_crop": "5",
    "random_scale": "5",
    "random_brightness": "5",
    "tfhub_module": "x",
    "saved_model_dir": "x",
    "logging_verbosity": "WARN",
    "checkpoint_path": "x",
}


def test_every_flag_of_retrain_py_is_taken() -> None:
    """The flags of 2019, each with a value it would take."""
    values = [f"--{flag}={value}" for flag, value in RETRAIN_PY.items()]
    assert settings(*values, "--print_misclassified_test_images", "--flip_left_right").head == "sgd"


@pytest.mark.parametrize(
    "flag",
    [
        "--how_many_training_steps=5",
        "--learning_rate=0.1",
        "--train_batch_size=5",
        "--validation_batch_size=5",
        "--eval_step_interval=5",
        "--intermediate_store_frequency=5",
    ],
)
def test_a_flag_of_sgd_means_sgd(flag: str) -> None:
    assert settings(flag).head == "sgd"


def test_without_a_flag_of_sgd_the_head_is_lbfgs() -> None:
    assert settings().head == "lbfgs"


def test_a_flag_of_sgd_beside_lbfgs_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="--learning_rate"):
        settings("--head=lbfgs", "--learning_rate=0.1")


def test_default_places_are_retrain_pys() -> None:
    outputs = settings().outputs
    assert str(outputs.output_graph) == "/tmp/output_graph.pb"
    assert str(outputs.output_labels) == "/tmp/output_labels.txt"
    assert str(outputs.summaries_dir) == "/tmp/retrain_logs"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--how_many_training_steps=0", "expected 1 or more"),
        ("--learning_rate=0", "expected more than 0"),
        ("--validation_batch_size=0", "or -1 for the whole set"),
        ("--random_crop=101", "expected a percentage"),
        ("--cache_views=-1", "expected 0 or more"),
        ("--input_size=0", "expected 1 or more"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_flag(flag: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"{flag.split('=')[0]}: got .*{message}"):
        settings(flag)


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--cross_validate=2"], "expected 3 folds"), (["--compare_heads"], "give --cross_validate")],
)
def test_a_cross_validation_that_cannot_be_is_refused(flags: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings(*flags)
