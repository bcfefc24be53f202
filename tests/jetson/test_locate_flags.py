"""The flags beside --locate: each reaches its option, and none is asked for without it."""

import argparse

import pytest

from legoclf.errors import UsageError
from legoclf.jetson import camera_command
from legoclf.jetson.locate import LocatorOptions
from legoclf.jetson.locate_flags import locator_options, tracker_options
from legoclf.jetson.tracking import TrackerOptions


def parsed(*flags):
    parser = argparse.ArgumentParser()
    camera_command.add_arguments(parser)
    return parser.parse_args(flags)


@pytest.mark.parametrize(
    ("flag", "value", "field"),
    [
        ("--min_area", 0.01, "min_area_share"),
        ("--max_area", 0.5, "max_area_share"),
        ("--max_objects", 3, "max_objects"),
        ("--margin", 0.1, "margin_share"),
        ("--contrast", 12.5, "contrast_levels"),
        ("--shadow", 0.4, "shadow_share"),
    ],
)
def test_a_flag_of_the_search_reaches_its_option_alone(flag, value, field):
    args = parsed("--locate", "background", flag, str(value))
    assert locator_options(args) == LocatorOptions(method="background")._replace(**{field: value})


@pytest.mark.parametrize("flag", ["min_frames", "max_missed_frames"])
def test_a_flag_of_the_tracking_reaches_its_option_alone(flag):
    args = parsed("--locate", "--unknown_below", "0.3", "--" + flag, "7")
    assert tracker_options(args) == TrackerOptions(min_probability=0.3)._replace(**{flag: 7})


def test_without_locate_they_are_refused():
    with pytest.raises(UsageError, match="--min_area: .* give --locate too"):
        camera_command.check_arguments(parsed("--min_area", "0.1"))


def test_a_camera_needs_some_time_before_it_counts_as_lost():
    with pytest.raises(UsageError, match="--stall_timeout_s: got 0"):
        camera_command.check_arguments(parsed("--stall_timeout_s", "0"))
