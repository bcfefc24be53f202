"""The README's commands: each is one that the command line takes, and the demo does what it says."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from legoclf import cli

README = Path(__file__).parent.parent / "README.md"


def commands() -> list[str]:
    """The indented lines that call legoclf, continued lines joined."""
    text = README.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"^    (legoclf .*)$", text, re.MULTILINE)


def test_the_readme_shows_the_two_commands_that_matter() -> None:
    shown = [command.split()[1] for command in commands()]
    assert "retrain" in shown
    assert "classify" in shown


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_is_taken_by_the_command_line(command: str) -> None:
    name, rest = cli._find_command(shlex.split(command)[1:])
    args = cli.parse(name, importlib.import_module(cli.COMMANDS[name].module), rest)
    assert args is not None


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_subcommand_is_in_the_readme(name: str) -> None:
    assert f"`legoclf {name}" in README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_demo_goes_the_whole_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", str(tmp_path / "demo"), "--count", "30"]) == 0
    printed = capsys.readouterr().out
    right = re.search(r"(\d+) of 100 new pictures named right", printed)
    assert right is not None
    # Ten classes: chance is 10. Thirty pictures of each give about 70.
    assert int(right[1]) > 40
    report = re.search(r"^report: (.*)$", printed, re.MULTILINE)
    assert report is not None
    assert (Path.cwd() / report[1]).is_file()
