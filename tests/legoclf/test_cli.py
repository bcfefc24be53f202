"""The command line: light to start, one line for each error, exit codes that mean something."""

import json
import subprocess
import sys
import tempfile

import pytest

from legoclf import cli
from legoclf.errors import LegoclfError

HEAVY = ["tensorflow", "cv2", "onnxruntime", "onnx", "PIL", "scipy", "trimesh", "keras", "simplejpeg"]
SUBCOMMANDS = [name for name in cli.COMMANDS if sys.version_info >= cli.COMMANDS[name].python]


#: Elsewhere than in the checkout, whose ./legoclf would hide the installed package.
ELSEWHERE = tempfile.gettempdir()


def legoclf(*arguments):
    """Run the command line in a process of its own, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "legoclf", *list(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        cwd=ELSEWHERE,
    )


#: Asks for the help of each subcommand in a process of its own, forked before anything is imported; a line
#: of JSON each: the exit code, what was printed, and the heavy packages that were imported.
HELP = """
import contextlib, io, json, os, sys
from legoclf.cli import main
for name in {names!r}:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            code = main(name.split() + ["--help"])
    except SystemExit as end:
        code = end.code
    imported = [each for each in {heavy!r} if each in sys.modules]
    print(json.dumps([code, printed.getvalue(), imported]), flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def helps():
    """What came of asking for the help of each subcommand; of legoclf itself under an empty name."""
    names = ["", *SUBCOMMANDS]
    program = HELP.format(names=names, heavy=HEAVY)
    output = subprocess.check_output([sys.executable, "-c", program], universal_newlines=True, cwd=ELSEWHERE)
    return dict(zip(names, map(json.loads, output.splitlines())))


@pytest.mark.parametrize("name", ["", *SUBCOMMANDS])
def test_help_imports_nothing_heavy(helps, name):
    assert helps[name][2] == []


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_its_help_from_its_module(helps, name):
    code, printed, _ = helps[name]
    assert code == 0
    assert printed.startswith("usage: legoclf " + name)


def test_help_names_every_subcommand():
    printed = legoclf("--help").stdout
    assert [name for name in cli.COMMANDS if name not in printed] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["retrian"], "no subcommand 'retrian'; did you mean retrain?"),
        (["data", "chek"], "no subcommand 'data chek'; did you mean data check?"),
        (["classify", "--top-q", "3", "x"], "unknown flag --top_q; did you mean --top_k?"),
        (["classify", "--top-k", "three", "x"], "argument --top_k: invalid int value: 'three'"),
        (["classify"], "the following arguments are required"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments, message):
    done = legoclf(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("legoclf: error: " + message)
    assert done.stderr.count("\n") == 1


def test_a_failure_is_one_line_and_exit_code_1(tmp_path):
    done = legoclf("classify", str(tmp_path / "none.bundle"), "-")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_debug_shows_the_traceback(tmp_path):
    done = legoclf("classify", str(tmp_path / "none.bundle"), "-", "--debug")
    assert "Traceback" in done.stderr


def test_hyphens_and_underscores_are_the_same_in_flags_only():
    assert cli._underscored(["--top-k=a-b", "c-d", "--json"]) == ["--top_k=a-b", "c-d", "--json"]


def test_what_follows_a_double_dash_is_left_alone():
    assert cli._underscored(["--top-k", "--", "--a-b"]) == ["--top_k", "--", "--a-b"]


def test_a_subcommand_of_the_training_machine_says_so_on_an_old_python(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 6, 9, "final", 0))
    assert cli.main(["retrain", "--help"]) == LegoclfError.exit_code
    assert "needs Python 3.11 to 3.13, and this is 3.6" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error():
    command = "{} -m legoclf --help | true".format(sys.executable)
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, cwd=ELSEWHERE)
    assert done.stderr == b""
