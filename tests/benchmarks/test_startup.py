"""Start-up times: of every subcommand that there is, as a process, and what makes the slow ones slow."""

import json
from pathlib import Path

import pytest

from legoclf.benchmarks.device.result import Result, parse, to_json
from legoclf.benchmarks.startup import (
    BARE,
    NUMPY,
    VERSION,
    command_names,
    import_shares,
    measure,
    shown,
    slow_notes,
)
from legoclf.cli import COMMANDS, main

HEADER = {
    **dict.fromkeys(("device", "jetpack", "python", "power_mode", "date", "command"), ""),
    "cores": 2,
    "versions": {},
    "clocks": {},
    "unsteady": [],
}


def test_all_subcommands_are_measured() -> None:
    assert command_names() == list(COMMANDS)


def test_a_folder_of_the_users_that_is_called_legoclf_is_not_taken_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "legoclf").mkdir()
    (tmp_path / "legoclf" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert "retrain" in command_names()


def test_each_process_is_a_sample_of_its_turn_and_compared_with_a_bare_python() -> None:
    measured = measure(["data check"], rounds=2)
    assert [series.name for series in measured.series] == [BARE, NUMPY, VERSION, shown("data check")]
    assert all([len(turn) for turn in series.turns] == [1, 1] for series in measured.series)
    assert [(ratio.numerator, ratio.denominator) for ratio in measured.ratios] == [
        (VERSION, BARE),
        (shown("data check"), BARE),
    ]
    # The loader takes every ratio, so they are of equal turns.
    parse(
        to_json(Result("startup", HEADER, *measured)),
        "here",
    )


def test_a_subcommand_that_does_not_start_is_told_and_left_out() -> None:
    measured = measure(["data chekc"], rounds=1)
    assert shown("data chekc") not in [series.name for series in measured.series]
    assert measured.facts["left_out"] == 1
    assert measured.facts["notes"][0].startswith("legoclf data chekc: left out: no subcommand 'data chekc'")


def test_what_a_process_imports_is_told_by_its_share() -> None:
    shares = import_shares(["-c", "import numpy"])
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "numpy"


@pytest.mark.parametrize(("milliseconds", "is_told"), [(140.0, False), (160.0, True)])
def test_a_help_slower_than_one_and_a_half_imports_of_numpy_is_told(
    milliseconds: float, is_told: bool
) -> None:
    turns = {NUMPY: [[100.0]] * 6, "slow": [[milliseconds]] * 6}
    assert (
        slow_notes(turns, {"slow": ["-c", "pass"]})[-1] == "more than 1.5 imports of NumPy: slow"
    ) is is_told


def test_one_turn_gone_astray_makes_no_subcommand_slow() -> None:
    """Of 8 turns the interval of the median leaves out the largest."""
    turns = {NUMPY: [[100.0]] * 8, "fast": [[100.0]] * 7 + [[900.0]]}
    assert "no subcommand" in slow_notes(turns, {"fast": ["-c", "pass"]})[-1]


def test_the_command_writes_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legoclf.benchmarks.startup.command_names", lambda: ["data check"])
    assert main(["benchmark", "startup", "--rounds", "1", "--output", str(tmp_path / "result.json")]) == 0
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["kind"] == "startup"
    assert shown("data check") in [series["name"] for series in record["series"]]


def test_no_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "startup", "--rounds", "0"]) == 2
    assert "--rounds: got 0, expected 1 or more" in capsys.readouterr().err
