"""The suite: every step is a command that there is, and one that fails is told and does not end the rest."""

import importlib
from pathlib import Path

import pytest

from legoclf import cli
from legoclf.benchmarks import suite, suite_command
from legoclf.benchmarks.process import places_of_retrain, run_legoclf
from legoclf.errors import LegoclfError, UsageError


@pytest.mark.parametrize("is_short", [False, True])
@pytest.mark.parametrize("step", suite.STEPS, ids=lambda step: step.name)
def test_a_step_is_a_command_that_the_command_line_takes(step: suite.Step, is_short: bool) -> None:
    words = [*step.command(Path("a.bundle"), Path("photos"), is_short), "--output", "a.json"]
    name, rest = cli._find_command(words)
    args = cli.parse(name, importlib.import_module(cli.COMMANDS[name].module), rest)
    assert name.split()[0] == "benchmark"
    assert args.output == "a.json"


def test_a_step_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    step = suite.Step("roofline", ("roofline", "{bundle}"))
    outcome = suite.run_step(step, tmp_path / "none.bundle", tmp_path, tmp_path, is_short=False)
    assert outcome.result is None
    assert "none.bundle" in outcome.trouble
    assert "\n" not in outcome.trouble
    assert "- roofline: " + outcome.trouble in suite.summary([outcome])


def test_the_places_of_retrain_are_flags_that_it_has() -> None:
    flags = [*places_of_retrain(Path("x")), "--image_dir=photos"]
    args = cli.parse("retrain", importlib.import_module(cli.COMMANDS["retrain"].module), flags)
    assert str(args.output_graph) == str(Path("x/graph.pb"))


def test_a_command_that_fails_is_told_by_its_own_last_line() -> None:
    with pytest.raises(LegoclfError, match="`legoclf data` failed: .*nowhere"):
        run_legoclf(["data", "check", "nowhere"])


def test_a_benchmark_that_there_is_not_is_refused(tmp_path: Path) -> None:
    args = cli.parse(
        "benchmark suite", suite_command, ["--only", "live,speed", "--output_dir", str(tmp_path)]
    )
    with pytest.raises(UsageError, match="no benchmark 'speed'; there are inference, live"):
        suite_command.run(args)
