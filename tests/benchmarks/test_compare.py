"""Two results side by side: differences are found, noise is called so, what is not comparable is said."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmark_results import result, turns

from legoclf.benchmarks.compare import NOISE, TOO_FEW, as_markdown, compare
from legoclf.benchmarks.device.result import Ratio, Result, Series, save
from legoclf.benchmarks.gates import of_one_run, read_gates
from legoclf.cli import main
from legoclf.errors import LegoclfError, UsageError

FAST, SLOW = "fast way", "slow way"
SHARE = Ratio("fast over slow", FAST, SLOW, "lower")
GATES = Path(__file__).parents[2] / "benchmarks" / "gates.json"


def pair(fast: float, slow: float, seed: int = 0, count: int = 10, **header: Any) -> Result:
    """A result of two ways in ms and their ratio."""
    series = [Series(FAST, "ms", turns(fast, seed, count)), Series(SLOW, "ms", turns(slow, seed + 50, count))]
    return result(series, [SHARE], **header)


def written(tmp_path: Path, name: str, saved: Result) -> str:
    path = str(tmp_path / f"{name}.json")
    save(saved, path)
    return path


def verdicts(old: Result, new: Result) -> dict[str, str]:
    return {change.name: change.verdict for change in compare(old, new).series}


def test_two_runs_of_the_same_are_noise() -> None:
    assert set(verdicts(pair(5, 10, seed=1), pair(5, 10, seed=2)).values()) == {NOISE}


def test_a_run_that_takes_longer_is_slower() -> None:
    assert verdicts(pair(5, 10, seed=1), pair(6, 10, seed=2)) == {FAST: "slower", SLOW: NOISE}


def test_the_shift_is_told_with_an_interval_around_the_truth() -> None:
    shift = compare(pair(5, 10, seed=1), pair(6, 10, seed=2)).series[0].shift
    assert shift is not None
    assert shift.low is not None
    assert shift.high is not None
    assert shift.low < 1.2 < shift.high
    assert shift.high - shift.low < 0.1


@pytest.mark.parametrize(
    ("unit", "word"),
    [("ms", "slower"), ("s", "slower"), ("1/s", "faster"), ("MB", "larger"), ("mJ", "more"), ("W", "more")],
)
def test_a_rise_is_called_what_it_is_in_its_unit(unit: str, word: str) -> None:
    old, new = (result([Series("x", unit, turns(middle))]) for middle in (1.0, 2.0))
    assert verdicts(old, new) == {"x": word}


def test_many_samples_of_few_turns_prove_nothing() -> None:
    old, new = (result([Series("x", "ms", [[middle] * 1000] * 3)]) for middle in (1.0, 2.0))
    assert verdicts(old, new) == {"x": TOO_FEW}


def test_turns_that_suffice_for_one_series_may_be_too_few_for_fifty() -> None:
    # The smallest p of 6 against 6 is 2/924: fifty times that is 0.11.
    old, new = (
        result([Series(f"x{place}", "ms", turns(middle, place, 6)) for place in range(50)])
        for middle in (1.0, 2.0)
    )
    assert set(verdicts(old, new).values()) == {TOO_FEW}


def test_a_difference_that_chance_gives_one_of_twenty_is_noise() -> None:
    def twenty(first: float) -> Result:
        shifts = [first] + [0.25 * first / 4.5] * 19
        return result(
            [
                Series(f"x{place}", "ms", [[10.0 + turn + shift] for turn in range(10)])
                for place, shift in enumerate(shifts)
            ]
        )

    change = compare(twenty(0), twenty(4.5)).series[0]
    assert change.p < 0.05
    assert change.verdict == NOISE


def test_a_machine_that_is_slower_changes_times_and_no_ratio() -> None:
    comparison = compare(pair(5, 10, seed=1), pair(7.5, 15, seed=2))
    assert {change.verdict for change in comparison.series} == {"slower"}
    assert [change.verdict for change in comparison.ratios] == [NOISE]


@pytest.mark.parametrize(("better", "word"), [("lower", "worse"), ("higher", "better")])
def test_a_ratio_that_rose_is_judged_by_which_way_is_better(better: str, word: str) -> None:
    old, new = (
        pair(fast, 10, seed)._replace(ratios=[SHARE._replace(better=better)])
        for fast, seed in ((5, 1), (6, 2))
    )
    assert [change.verdict for change in compare(old, new).ratios] == [word]


def test_ratios_come_before_the_times_and_it_is_said_why() -> None:
    text = as_markdown(compare(pair(5, 10, 1), pair(5, 10, 2)))
    assert text.index(SHARE.name) < text.index("took turns within one run") < text.index(f"| {FAST}")


def accuracies(digest: Any, other: Any) -> tuple[Result, Result]:
    """A has 70 of 100 right; B the same ones and 8 more."""
    return tuple(  # type: ignore[return-value]
        result(
            [Series("accuracy", "right", [[1.0] * right + [0.0] * (100 - right)])], facts={"images": named}
        )
        for right, named in ((70, digest), (78, other))
    )


def test_accuracies_on_the_same_images_are_compared_image_by_image() -> None:
    (change,) = compare(*accuracies("sha256:1", "sha256:1")).series
    assert (change.test, change.verdict) == ("McNemar", "better")
    assert change.p == pytest.approx(2 / 256)
    assert change.shift is not None
    assert change.shift.value == pytest.approx(0.08)


@pytest.mark.parametrize(("digest", "other"), [("sha256:1", "sha256:2"), (None, None), (100, 100)])
def test_accuracies_on_images_that_may_differ_are_not_paired(digest: Any, other: Any) -> None:
    comparison = compare(*accuracies(digest, other))
    (change,) = comparison.series
    assert (change.test, change.verdict) == ("Fisher", NOISE)
    assert any("do not prove them the same" in warning for warning in comparison.warnings)


def test_what_one_result_alone_has_is_listed() -> None:
    old = result(
        [Series("both", "ms", turns(1)), Series("gone", "ms", turns(1)), Series("unit", "ms", turns(1))]
    )
    new = result(
        [Series("both", "ms", turns(1)), Series("new", "W", turns(1)), Series("unit", "s", turns(1))]
    )
    comparison = compare(old, new)
    assert [change.name for change in comparison.series] == ["both"]
    assert comparison.only_old == ["gone (ms)", "unit (ms)"]
    assert comparison.only_new == ["new (W)", "unit (s)"]
    assert "Only in B: new (W); unit (s)" in as_markdown(comparison)


def test_ratios_of_one_name_that_mean_something_else_are_not_compared() -> None:
    old = pair(5, 10, 1)
    new = pair(5, 10, 2)._replace(ratios=[SHARE._replace(numerator=SLOW, denominator=FAST)])
    comparison = compare(old, new)
    assert comparison.ratios == []
    assert comparison.only_old == comparison.only_new == [f"ratio: {SHARE.name}"]


def test_results_without_a_common_series_are_refused() -> None:
    with pytest.raises(LegoclfError, match="nothing to compare: 'inference' and 'live'"):
        compare(pair(5, 10), result([Series("frames", "1/s", turns(30))], kind="live"))


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"device": "another"}, "NOT THE SAME DEVICE: A a desk computer, B another."),
        ({"kind": "live"}, "NOT THE SAME BENCHMARK: A is 'inference', B is 'live'."),
        (
            {"versions": {"numpy": "1.13.3"}},
            "VERSIONS, of A and of B: legoclf 0.1.0 and missing, numpy 2.4.6 and",
        ),
        ({"power_mode": "5W"}, "NOT THE SAME POWER MODE: A None, B 5W."),
        (
            {"clocks": {"governor": "powersave", "cpu_max_mhz": 3000.0}},
            "GOVERNOR: A performance, B powersave.",
        ),
        ({"unsteady": ["it was hot"]}, "B WAS UNSTEADY: it was hot."),
    ],
)
def test_runs_under_other_conditions_are_told_before_any_figure(header: dict[str, Any], told: str) -> None:
    text = as_markdown(compare(pair(5, 10), pair(5, 10, **header)))
    assert told in text
    assert text.index(told) < text.index("|")


def test_a_clock_reading_of_the_moment_is_no_other_condition() -> None:
    clocks = {"governor": "performance", "cpu_max_mhz": 3000.0, "cpu_mhz": 1200.0}
    assert compare(pair(5, 10), pair(5, 10, clocks=clocks)).warnings == []


def test_a_median_of_zero_is_tested_without_a_ratio() -> None:
    old, new = (result([Series("x", "ms", [[value]] * 10)]) for value in (0.0, 1.0))
    (change,) = compare(old, new).series
    assert (change.shift, change.verdict) == (None, "slower")
    assert "| – | – |" in as_markdown(compare(old, new))


def test_without_scipy_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    file = written(tmp_path, "a", pair(5, 10))
    assert main(["benchmark", "compare", file, file]) == 1
    assert "'scipy' is not installed; it comes with: pip install 'legoclf[bench]'" in capsys.readouterr().err


def test_names_cannot_break_the_table_or_steer_the_terminal() -> None:
    series = [Series("a | b\n<script>`x`\x1b[2J", "ms", turns(1))]
    text = as_markdown(
        compare(result(series), result(series, command="rm | <b>`", unsteady=["\x1b]0;x\x07"]))
    )
    assert "<script" not in text
    assert "\x1b" not in text
    row = next(line for line in text.splitlines() if line.startswith("| a "))
    assert row.replace("\\|", "").count("|") == 9


def test_the_command_prints_json_with_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [written(tmp_path, "a", pair(5, 10, 1)), written(tmp_path, "b", pair(6, 10, 2))]
    assert main(["benchmark", "compare", *files, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    first = record["comparison"]["series"][0]
    assert (first["name"], first["verdict"]) == (FAST, "slower")
    assert first["shift"]["low"] < 1.2 < first["shift"]["high"]
    assert record["passed"] is True


@pytest.mark.parametrize(
    ("better", "fast", "code"),
    [("lower", 6.0, 1), ("lower", 5.2, 0), ("lower", 4.0, 0), ("higher", 4.0, 1), ("higher", 6.0, 0)],
)
def test_a_ratio_that_lost_more_than_the_bound_fails(
    tmp_path: Path, better: str, fast: float, code: int
) -> None:
    old, new = (
        pair(middle, 10, seed)._replace(ratios=[SHARE._replace(better=better)])
        for middle, seed in ((5.0, 1), (fast, 2))
    )
    files = [written(tmp_path, "a", old), written(tmp_path, "b", new)]
    assert main(["benchmark", "compare", *files, "--fail_below", "0.9"]) == code


def test_times_gate_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [written(tmp_path, "a", pair(5, 10, 1)), written(tmp_path, "b", pair(50, 100, 2))]
    assert main(["benchmark", "compare", *files, "--fail_below", "0.9"]) == 0
    assert "slower" in capsys.readouterr().out


def test_noise_that_reaches_below_the_bound_does_not_fail(tmp_path: Path) -> None:
    def noisy(fast: float, seed: int) -> Result:
        ways = [Series(FAST, "ms", turns(fast, seed, spread=0.3)), Series(SLOW, "ms", turns(10, seed + 50))]
        return result(ways, [SHARE])

    files = [written(tmp_path, "a", noisy(5, 1)), written(tmp_path, "b", noisy(5.7, 2))]
    assert main(["benchmark", "compare", *files, "--fail_below", "0.9"]) == 0


def test_a_gate_without_a_common_ratio_is_no_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = written(tmp_path, "a", pair(5, 10)._replace(ratios=[]))
    assert main(["benchmark", "compare", bare, bare, "--fail_below", "0.9"]) == 1
    assert "no ratio in common" in capsys.readouterr().err


def test_too_few_turns_cannot_pass_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [written(tmp_path, name, pair(5, 10, seed, 3)) for name, seed in (("a", 1), ("b", 2))]
    assert main(["benchmark", "compare", *files, "--fail_below", "0.9"]) == 1
    assert "FAILED: too few turns to judge" in capsys.readouterr().out


def gates(tmp_path: Path, text: str) -> str:
    path = tmp_path / "gates.json"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(("bound", "code"), [(0.45, 1), (0.5, 0), (0.6, 0)])
def test_a_bound_on_one_run_fails_where_the_whole_interval_breaks_it(
    tmp_path: Path, bound: float, code: int
) -> None:
    run = written(tmp_path, "b", pair(5, 10))
    file = gates(tmp_path, json.dumps({"inference": {SHARE.name: bound}}))
    assert main(["benchmark", "compare", run, "--gates", file]) == code


def test_a_bound_is_the_least_of_a_ratio_whose_better_is_higher() -> None:
    run = pair(5, 10)._replace(ratios=[SHARE._replace(better="higher")])
    troubles = [of_one_run(run, {"inference": {SHARE.name: bound}})[0].trouble for bound in (0.4, 0.6)]
    assert troubles == ["", "below 60.0 %"]


def test_a_gate_whose_ratio_has_gone_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = written(tmp_path, "b", pair(5, 10))
    file = gates(tmp_path, '{"inference": {"renamed": 0.5}}')
    assert main(["benchmark", "compare", run, "--gates", file, "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert [gate["trouble"] for gate in record["gates"]] == ["not in the result, or of zeros"]


def test_a_kind_without_gates_is_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = written(tmp_path, "b", pair(5, 10))
    assert main(["benchmark", "compare", run, "--gates", gates(tmp_path, '{"live": {}}')]) == 2
    assert "--gates: none for 'inference'; there are: live" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"live": 1}', '{"live": {"x": "0.9"}}', '{"live": {"x": true}}', '{"live": {"x": NaN}}'],
)
def test_a_damaged_file_of_gates_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="--gates: .*gates.json"):
        read_gates(Path(gates(tmp_path, text)))


def test_the_gates_of_this_repository_can_be_read() -> None:
    assert "inference" in read_gates(GATES)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["A"], "expected A.json B.json, or one and --gates FILE"),
        (["A", "A", "A"], "got 3 results"),
        (["A", "A", "--fail_below", "1.5"], "--fail_below: got 1.5, expected 0.01 to 1.0"),
        (["A", "--gates", "G", "--fail_below", "0.9"], "--fail_below: expected A.json B.json"),
    ],
)
def test_wrong_calls_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    places = {"A": written(tmp_path, "a", pair(5, 10)), "G": gates(tmp_path, '{"inference": {}}')}
    words = [places.get(word, word) for word in arguments]
    assert main(["benchmark", "compare", *words]) == 2
    assert told in capsys.readouterr().err
