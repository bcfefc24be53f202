"""The numbers that the doctor has of others, against theirs."""

import pytest

from legoclf.jetson.device import JETPACK_BY_L4T
from legoclf.jetson.doctor.boards import Board, find_board, is_too_old, jetpack_brings


@pytest.mark.parametrize(
    ("model", "board"),
    [
        ("NVIDIA Jetson Nano Developer Kit", Board(0, True)),
        ("NVIDIA Jetson Xavier NX Developer Kit", Board(2, True)),
        ("NVIDIA Jetson Orin Nano Developer Kit", Board(0, False)),
        ("NVIDIA Jetson AGX Thor", None),
        (None, None),
    ],
)
def test_boards_are_known_by_their_model(model, board):
    assert find_board(model) == board


@pytest.mark.parametrize(
    ("jetpack", "brings"),
    [
        ("4.6", None),
        ("4.6.1", ("8.2.1", (3, 6))),
        ("4.6.6", ("8.2.1", (3, 6))),
        ("5.0.2", None),
        ("5.1.2", ("8.5.2", (3, 8))),
        ("6.0", ("8.6.2", (3, 10))),
        ("6.2.1", ("10.3", (3, 10))),
        ("7.2", ("10.16", (3, 12))),
        ("7.x", None),
        (None, None),
    ],
)
def test_a_jetpack_brings_its_tensorrt_and_python(jetpack, brings):
    assert jetpack_brings(jetpack) == brings


def test_of_all_releases_those_before_4_6_1_are_too_old():
    old = {jetpack for jetpack in JETPACK_BY_L4T.values() if is_too_old(jetpack)}
    assert old == {"4.2", "4.2.1", "4.2.2", "4.2.3", "4.3", "4.4", "4.4.1", "4.5", "4.5.1", "4.6"}


def test_a_release_that_is_not_known_is_not_too_old():
    assert not is_too_old("4.x")
