"""The wheel: one for every machine, the same bytes for the same commit, and pip 9 on Python 3.6 takes it."""

import email
import hashlib
import os
import runpy
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from legoclf import cli

ROOT = Path(__file__).parent.parent
FOLDERS = ("benchmarks", "convert", "data", "jetson", "legoclf", "retrain")
#: The pip of JetPack 4.6's Python 3.6.9.
PIP = "pip==9.0.1"
DEVICE_COMMANDS = [name for name, command in cli.COMMANDS.items() if command.python == (3, 6)]


def build(folder: Path) -> Path:
    """The wheel as `make wheel` builds it."""
    subprocess.run([sys.executable, str(ROOT / "deploy/build_wheel.py"), str(folder)], check=True)
    (wheel,) = folder.iterdir()
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_is_for_every_machine_and_python(wheel: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert wheel.name == f"legoclf-{version}-py3-none-any.whl"


def test_every_module_is_in_the_wheel_and_no_test(names: set[str]) -> None:
    modules = {
        f"{folder}/{path.relative_to(ROOT / folder)}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    expected = {name if name.startswith("legoclf/") else f"legoclf/{name}" for name in modules}
    assert {name for name in names if name.endswith(".py")} == expected


def test_every_data_file_is_in_the_wheel(names: set[str]) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    data = [name for name in tracked if name and not name.endswith((".py", ".md")) and (ROOT / name).exists()]
    assert {name if name.startswith("legoclf/") else f"legoclf/{name}" for name in data} <= names


def test_the_licence_and_the_notice_are_in_the_wheel(names: set[str]) -> None:
    assert {"LICENSE", "NOTICE"} <= {name.rpartition("/")[2] for name in names if ".dist-info/" in name}


@pytest.mark.slow
def test_the_same_checkout_gives_the_same_bytes_and_is_left_as_it_was(wheel: Path, tmp_path: Path) -> None:
    def status() -> str:
        git = ["git", "status", "--porcelain", "--ignored", "--untracked-files=all", ":!*.pyc"]
        return subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    before = status()
    again = build(tmp_path)
    assert status() == before
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


def test_numpy_is_all_that_the_wheel_asks_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    always = [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert always == ["numpy>=1.13.3"]


@pytest.fixture(scope="module")
def python36(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A Python 3.6 as JetPack 4.6 has it: pip 9.0.1, NumPy 1.13.3, and the wheel that this pip installed."""
    real = runpy.run_path(str(ROOT / "tests/zone.py"))["find_python36"]()
    if real is None:
        pytest.skip("no Python 3.6 on the PATH or under pyenv")
    venv = tmp_path_factory.mktemp("python36") / "venv"
    python = venv / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([real, "-m", "venv", str(venv)], check=True)
    # Elsewhere than in the checkout, whose legoclf.egg-info pip would take for an installed legoclf.
    subprocess.run([*pip, "numpy==1.13.3"], check=True, cwd=venv)
    subprocess.run([*pip, PIP], check=True, cwd=venv)
    # Nothing that it asks for is missing, so it needs no index.
    subprocess.run([*pip, "--no-index", str(wheel)], check=True, cwd=venv)
    return python


def run36(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`legoclf` with these arguments there, outside the checkout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LEGOCLF_", "PYTHON"))}
    command = [str(python.parent / "legoclf"), *arguments]
    return subprocess.run(command, cwd=python.parent, env=clean, check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_pip_9_on_python_3_6_installs_the_wheel_and_pulls_nothing(python36: Path) -> None:
    pip = [str(python36), "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze"]
    listed = subprocess.run(
        pip, check=True, capture_output=True, text=True, cwd=python36.parent
    ).stdout.split()
    assert PIP in listed
    assert {each.partition("==")[0] for each in listed} == {"legoclf", "numpy", "pip", "setuptools"}


@pytest.mark.slow
def test_the_installed_command_tells_its_version_and_its_help(python36: Path) -> None:
    assert run36(python36, "--version").stdout.startswith("legoclf ")
    assert "camera" in run36(python36, "--help").stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", DEVICE_COMMANDS)
def test_every_command_of_the_device_answers_there_with_numpy_alone(python36: Path, name: str) -> None:
    done = run36(python36, *name.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: legoclf {name}")


@pytest.mark.slow
@pytest.mark.skipif("doctor" not in cli.COMMANDS, reason="there is no such command yet")
def test_doctor_looks_the_machine_over_there(python36: Path) -> None:
    done = run36(python36, "doctor", "--json")
    assert '"python"' in done.stdout.lower()
    assert done.stderr == ""
