"""Result files: what is written can be read again; what cannot be looked behind is refused by name."""

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from legoclf.benchmarks.device.result import (
    FORMAT_VERSION,
    HEADER,
    UNITS,
    Ratio,
    Result,
    Series,
    load,
    parse,
    save,
    to_json,
)
from legoclf.errors import LegoclfError

TURNS = [[2.0, 4.0, 3.0], [2.0], [4.0, 2.0], [3.0], [3.0], [3.0]]
HALF = [[value / 2 for value in turn] for turn in TURNS]


def result(series: Optional[List[Series]] = None, **changes: Any) -> Result:
    """A sound result of two series and their ratio, but for the changes."""
    header: Dict[str, Any] = dict.fromkeys(HEADER, "told")
    header.update(
        cores=2, clocks={}, jetpack=None, power_mode=None, versions={"numpy": "1.13.3"}, unsteady=[]
    )
    sound = Result(
        "inference",
        header,
        series or [Series("slow", "ms", TURNS), Series("fast", "ms", HALF)],
        [] if series else [Ratio("fast over slow", "fast", "slow", "lower")],
        {"notes": ["a note"], "number": 1},
    )
    return sound._replace(**changes)


def record(**changes: Any) -> Dict[str, Any]:
    """What a sound file holds, but for the changes."""
    return dict(to_json(result()), **changes)


def refused(changed: Any, match: str) -> None:
    with pytest.raises(LegoclfError, match="a.json: " + match):
        parse(changed, "a.json")


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    path = str(tmp_path / "a.json")
    save(result(), path)
    assert load(path) == result()


def test_a_file_says_its_format_and_the_turns_as_they_were_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save(result(), str(path))
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert (saved["format"], saved["format_version"]) == ("legoclf-benchmark", FORMAT_VERSION)
    assert saved["series"][0] == {"name": "slow", "unit": "ms", "turns": TURNS}
    assert saved["ratios"] == [
        {"name": "fast over slow", "numerator": "fast", "denominator": "slow", "better": "lower"}
    ]


def test_each_turn_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save(result(), str(path))
    lines = [line.strip().rstrip(",") for line in path.read_text(encoding="utf-8").splitlines()]
    for turn in TURNS:
        assert json.dumps(turn, separators=(",", ":")) in lines


def test_saving_the_same_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        save(result(), str(path))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_file_is_readable_for_all_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    save(result(), str(tmp_path / "a.json"))
    assert os.listdir(str(tmp_path)) == ["a.json"]
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save(result(), str(path))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save(result(facts={"a set is no JSON": {1}}), str(path))
    assert path.read_bytes() == before
    assert os.listdir(str(tmp_path)) == ["a.json"]


def test_a_target_that_is_a_folder_leaves_no_scratch_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError):
        save(result(), str(tmp_path / "a.json"))
    assert os.listdir(str(tmp_path)) == ["a.json"]


def test_saving_leaves_the_result_as_it_was(tmp_path: Path) -> None:
    kept = result()
    save(kept, str(tmp_path / "a.json"))
    assert kept == result()


def test_five_digits_of_a_sample_are_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "a.json")
    samples = [123456.789, 1.23456789, 0.000123456789, 0.0, 1e-9]
    save(result([Series("x", "ms", [samples])]), path)
    kept = load(path).series[0].turns[0]
    assert kept == [123460.0, 1.2346, 0.00012346, 0.0, 1e-9]
    assert kept == pytest.approx(samples, rel=5e-5)


def test_names_in_any_script_survive(tmp_path: Path) -> None:
    path = str(tmp_path / "a.json")
    named = result([Series('积木 "\\ \n 🧱', "ms", TURNS)], kind="ä")
    save(named, path)
    assert load(path) == named


@pytest.mark.parametrize("place", ["series", "header"])
def test_a_text_that_looks_like_a_place_holder_is_no_turn(tmp_path: Path, place: str) -> None:
    path = str(tmp_path / "a.json")
    odd = result()
    if place == "series":
        odd = result([Series("@0@", "ms", TURNS)])
    else:
        odd.header["command"] = "@0@"
    save(odd, path)
    assert load(path) == odd


def test_series_and_ratios_tell_their_figures() -> None:
    made = result()
    assert made.find("slow").summary.median.value == 3.0
    ratio = made.ratio(made.ratios[0])
    assert (ratio.value, ratio.low, ratio.high) == (0.5, 0.5, 0.5)
    with pytest.raises(KeyError):
        made.find("none")


def test_a_share_is_that_of_all_turns_together() -> None:
    share = Series("accuracy", "right", [[1, 1, 1, 0], [1, 0, 1, 1]]).share
    assert share.value == 0.75
    assert share.low is not None
    assert share.high is not None
    assert 0.40 < share.low < 0.75 < share.high < 0.93


def test_an_unsteady_run_is_not_quotable() -> None:
    assert result().is_quotable
    assert not result(header=dict(result().header, unsteady=["it was hot"])).is_quotable


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "\x00", "legoclf"])
def test_a_file_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LegoclfError, match="a.json: not a benchmark result"):
        load(str(path))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(LegoclfError, match="a.json: not a benchmark result"):
        load(str(path))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LegoclfError, match="none.json: not a benchmark result.*No such file"):
        load(str(tmp_path / "none.json"))


def test_a_file_of_brackets_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" * 100000, encoding="utf-8")
    with pytest.raises(LegoclfError, match="a.json: not a benchmark result"):
        load(str(path))


@pytest.mark.parametrize("other", [None, [], "x", 1, {}, {"format": "other"}])
def test_other_json_is_refused(other: Any) -> None:
    refused(other, "not a benchmark result; expected what `legoclf benchmark` writes")


@pytest.mark.parametrize("version", [0, FORMAT_VERSION + 1, "1", None])
def test_another_version_of_the_format_is_refused_by_number(version: Any) -> None:
    refused(record(format_version=version), "format {} of results; this legoclf reads 1".format(version))


@pytest.mark.parametrize("name", ["kind", "header", "facts"])
def test_a_part_of_another_type_is_refused(name: str) -> None:
    refused(record(**{name: [1]}), "has no kind, header or facts")


@pytest.mark.parametrize("name", HEADER)
def test_a_condition_that_is_missing_is_named(name: str) -> None:
    header = result().header
    del header[name]
    refused(record(header=header), "its header does not tell: " + name)


@pytest.mark.parametrize(
    ("name", "value"), [("versions", "numpy 1.13"), ("versions", None), ("unsteady", "hot")]
)
def test_conditions_of_another_type_are_refused(name: str, value: Any) -> None:
    refused(record(header=dict(result().header, **{name: value})), ".*" + name)


@pytest.mark.parametrize("name", ["series", "ratios"])
@pytest.mark.parametrize("value", [None, {}, "x"])
def test_a_list_that_is_none_is_refused(name: str, value: Any) -> None:
    refused(record(**{name: value}), "has no {}; figures without their raw samples".format(name))


def test_a_result_without_series_is_refused() -> None:
    refused(record(series=[], ratios=[]), "has no samples; figures without their raw samples are not taken")


@pytest.mark.parametrize("missing", ["name", "unit", "turns"])
def test_a_series_that_lacks_a_part_is_refused(missing: str) -> None:
    series: Dict[str, Any] = {"name": "x", "unit": "ms", "turns": TURNS}
    del series[missing]
    refused(record(series=[series], ratios=[]), "a series has no '{}'".format(missing))


@pytest.mark.parametrize("series", [None, 1, "x", []])
def test_a_series_that_is_no_object_is_refused(series: Any) -> None:
    refused(record(series=[series], ratios=[]), "a series has no ")


@pytest.mark.parametrize("unit", ["us", "", None, 1])
def test_an_unknown_unit_is_refused(unit: Any) -> None:
    series = {"name": "x", "unit": unit, "turns": TURNS}
    refused(record(series=[series], ratios=[]), "series 'x': unit .*, expected one of ms, s, MB")


def test_a_unit_that_is_a_list_is_refused() -> None:
    series = {"name": "x", "unit": [], "turns": TURNS}
    refused(record(series=[series], ratios=[]), "series 'x': unit ")


@pytest.mark.parametrize(
    "turns",
    [
        None,
        3.0,
        [],
        [[]],
        [[1.0], []],
        [1.0, 2.0],
        {"0": [1.0]},
        [["1.0"]],
        [[None]],
        [[True]],
        [[-0.1]],
        [[float("nan")]],
        [[float("inf")]],
        [[[1.0]]],
    ],
)
def test_a_summary_without_raw_samples_is_refused(turns: Any) -> None:
    series = {"name": "x", "unit": "ms", "turns": turns}
    refused(record(series=[series], ratios=[]), "series 'x' has no raw samples")


def test_a_number_that_no_float_holds_is_refused() -> None:
    series = {"name": "x", "unit": "ms", "turns": [[10**400]]}
    refused(record(series=[series], ratios=[]), "series 'x' has no raw samples")


@pytest.mark.parametrize("answer", [0.5, 2.0])
def test_an_answer_is_right_or_wrong(answer: float) -> None:
    series = {"name": "accuracy", "unit": "right", "turns": [[1.0, answer]]}
    refused(record(series=[series], ratios=[]), "series 'accuracy'")


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_every_unit_is_taken(unit: str) -> None:
    series = {"name": "x", "unit": unit, "turns": [[1.0, 0.0]]}
    assert parse(record(series=[series], ratios=[]), "a.json").series == [Series("x", unit, [[1.0, 0.0]])]


def test_two_series_of_one_name_are_refused() -> None:
    series = {"name": "x", "unit": "ms", "turns": TURNS}
    refused(record(series=[series, series], ratios=[]), "two series have one name")


def test_two_ratios_of_one_name_are_refused() -> None:
    ratio = dict(Ratio("x", "fast", "slow")._asdict())
    refused(record(ratios=[ratio, ratio]), "two ratios have one name")


@pytest.mark.parametrize("ratio", [None, 1, [], {"name": "x"}, {"name": "x", "numerator": "fast"}])
def test_a_damaged_ratio_is_refused(ratio: Any) -> None:
    refused(record(ratios=[ratio]), "a ratio is damaged")


def test_a_ratio_with_a_part_that_is_not_known_is_refused() -> None:
    ratio = dict(Ratio("x", "fast", "slow")._asdict(), value=0.5)
    refused(record(ratios=[ratio]), "a ratio is damaged: .*value")


@pytest.mark.parametrize("better", ["", "HIGHER", None, ["higher"]])
def test_a_ratio_that_does_not_say_which_way_is_better_is_refused(better: Any) -> None:
    ratio = dict(Ratio("x", "fast", "slow")._asdict(), better=better)
    refused(record(ratios=[ratio]), "ratio 'x': better is ")


@pytest.mark.parametrize(
    ("denominator", "turns"),
    [("gone", TURNS), ("slow", TURNS[:-1]), ("slow", [[0.0]] * 6)],
    ids=["no such series", "fewer turns", "zeros"],
)
def test_a_ratio_that_cannot_be_taken_is_refused(denominator: str, turns: List[List[float]]) -> None:
    series = [
        {"name": "fast", "unit": "ms", "turns": HALF},
        {"name": "slow", "unit": "ms", "turns": turns},
    ]
    ratio = dict(Ratio("x", "fast", denominator)._asdict())
    refused(record(series=series, ratios=[ratio]), "its ratio 'x' cannot be taken")
