"""How a result is told: whether it may be quoted first, then ratios, figures with intervals, and notes."""

import argparse
import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from legoclf.benchmarks.device.emit import (
    add_output_flags,
    as_markdown,
    check_output_flags,
    emit,
    factor,
    header_lines,
    number,
    percent,
)
from legoclf.benchmarks.device.result import Ratio, Result, Series, load, to_json
from legoclf.errors import UsageError

EIGHT = [[1.0 + turn / 10.0] * 3 for turn in range(8)]


def result(series: Optional[List[Series]] = None, **header: Any) -> Result:
    told: Dict[str, Any] = {
        "device": "NVIDIA Jetson Nano",
        "jetpack": "4.6.1",
        "cores": 4,
        "python": "3.6.9",
        "versions": {"tensorrt": "8.2.1", "numpy": "1.13.3"},
        "clocks": {},
        "power_mode": "MAXN",
        "date": "2026-11-25T01:40:51Z",
        "command": "legoclf benchmark lego.bundle",
        "unsteady": [],
    }
    told.update(header)
    ratios = [] if series else [Ratio("twice over once", "twice", "once")]
    twice = [[2 * value for value in turn] for turn in EIGHT]
    default = [Series("once", "ms", EIGHT), Series("twice", "ms", twice)]
    return Result("inference", told, series or default, ratios, {"notes": ["first", "second"]})


def args(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_output_flags(parser)
    return parser.parse_args(words)


def test_the_table_tells_the_median_its_interval_and_the_percentiles() -> None:
    line = "| once | ms | 1.35 | 1 to 1.7 | 1.67 | 1.7 | 1.7 | 24 |"
    assert line in as_markdown(result()).splitlines()


def test_ratios_come_before_the_series() -> None:
    text = as_markdown(result())
    assert "| twice over once | 2x | 2x to 2x |" in text
    assert text.index("| twice over once |") < text.index("| once |")


def test_five_turns_have_no_interval() -> None:
    text = as_markdown(result([Series("x", "ms", EIGHT[:5])]))
    assert "| x | ms | 1.2 | too few turns | 1.4 |" in text


def test_accuracy_is_told_with_how_many_images_it_is_of() -> None:
    text = as_markdown(result([Series("accuracy", "right", [[1.0] * 70 + [0.0] * 30])]))
    assert "accuracy: 70.0 % of 100 images right, 95 % interval 60.4 % to 78.1 %" in text
    assert "| measured |" not in text


def test_conditions_stand_below_the_title() -> None:
    lines = as_markdown(result()).splitlines()
    assert lines[0] == "# inference"
    assert lines[2] == "NVIDIA Jetson Nano, 4 cores, JetPack 4.6.1, power mode MAXN"
    assert lines[4] == "Python 3.6.9, numpy 1.13.3, tensorrt 8.2.1; 2026-11-25T01:40:51Z"
    assert lines[6] == "`legoclf benchmark lego.bundle`"


def test_what_a_machine_has_not_is_left_out() -> None:
    assert header_lines(result(jetpack=None, power_mode=None))[0] == "NVIDIA Jetson Nano, 4 cores"


def test_that_a_run_was_unsteady_is_told_first() -> None:
    lines = header_lines(result(unsteady=["it was hot", "the clock is not locked"]))
    assert lines[0] == "**Not to be quoted: it was hot; the clock is not locked.**"


def test_notes_come_last() -> None:
    assert as_markdown(result()).endswith("- first\n- second\n")


def test_a_result_without_notes_ends_in_one_line_break() -> None:
    text = as_markdown(result()._replace(facts={}))
    assert text.endswith("|\n")
    assert not text.endswith("\n\n")


def test_without_flags_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    emit(result(), args())
    assert capsys.readouterr().out == as_markdown(result())


def test_json_is_one_object_with_the_raw_samples(capsys: pytest.CaptureFixture[str]) -> None:
    emit(result(), args("--json"))
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(to_json(result())))


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_result_file_is_written_beside_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: List[str]
) -> None:
    path = str(tmp_path / "a.json")
    emit(result(), args("--output", path, *flags))
    assert load(path) == load_again(capsys.readouterr().out, flags, path)


def load_again(printed: str, flags: List[str], path: str) -> Result:
    """What was printed as a result: of JSON what it says, of a table what the file says if the two agree."""
    from legoclf.benchmarks.device.result import parse

    if flags:
        return parse(json.loads(printed), "stdout")
    assert printed == as_markdown(load(path))
    return load(path)


@pytest.mark.parametrize("name", ["", "no/such/folder.json"])
def test_a_target_that_cannot_be_a_file_is_refused_before_the_benchmark(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--output: .*: expected a file in a folder that is there"):
        check_output_flags(args("--output", str(tmp_path / name)))


def test_an_empty_name_is_refused_before_the_benchmark() -> None:
    with pytest.raises(UsageError, match="--output"):
        check_output_flags(args("--output", ""))


def test_a_target_in_a_folder_that_is_there_is_taken(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    for name in ("new.json", "old.json"):
        check_output_flags(args("--output", str(tmp_path / name)))
    check_output_flags(args())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.000123, "0.00012"), (0.0123456, "0.0123"), (1, "1"), (1.005, "1"), (99.96, "100")],
)
def test_small_numbers_have_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(100.4, "100"), (12345.6, "12346"), (1e9, "1000000000")])
def test_large_numbers_are_whole(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("value", [0.00006, 1e-7])
def test_no_number_has_an_exponent(value: float) -> None:
    assert "e" not in number(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "50.0 %"), (1, "100.0 %"), (1.994, "199.4 %"), (1.999, "200 %"), (2, "2x"), (12.34, "12.3x")],
)
def test_a_ratio_is_a_percentage_up_to_two_and_a_multiple_above(value: float, shown: str) -> None:
    assert factor(value) == shown


def test_shares_have_a_decimal() -> None:
    assert [percent(value) for value in (0, 0.885, 1)] == ["0.0 %", "88.5 %", "100.0 %"]
