"""What is deployed: the commands of the unit, the Dockerfile and docs/install.md are those of legoclf."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from legoclf import cli

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "deploy" / "legoclf-camera.service"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
GUIDE = ROOT / "docs" / "install.md"


def unit_settings() -> list[tuple[str, str]]:
    """Key and value of each line of the unit."""
    return re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def dockerfile_instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile, comments left out and continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def stage(name: str) -> dict[str, str]:
    """The last instruction of each kind of a stage of the Dockerfile."""
    found: dict[str, str] = {}
    current = ""
    for instruction, value in dockerfile_instructions():
        if instruction == "FROM":
            current = value.partition(" AS ")[2]
        if current == name:
            found[instruction] = value
    return found


def guide_lines() -> list[str]:
    """The indented lines of the guide."""
    return re.findall(r"^    (\S.*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)


def guide_commands() -> list[str]:
    """What those lines give legoclf to do: installed, packed, by systemd, or in a container."""
    pattern = r"(?:^|[ /=])(?:legoclf|brick\.pyz) ((?!dist$)[a-z][a-z-]*(?: .*)?)$"
    return [match[1] for line in guide_lines() if (match := re.search(pattern, line))]


def parse(command: str) -> object:
    """The arguments as the command line takes them; UsageError where it does not."""
    name, rest = cli._find_command(shlex.split(command))
    return cli.parse(name, importlib.import_module(cli.COMMANDS[name].module), rest)


@pytest.mark.parametrize("command", guide_commands())
def test_a_command_of_the_guide_is_taken_by_the_command_line(command: str) -> None:
    assert parse(command) is not None


def test_the_guide_shows_the_way_from_the_wheel_to_the_camera() -> None:
    shown = {cli._find_command(shlex.split(command))[0] for command in guide_commands()}
    assert {"doctor", "build-engine", "camera", "bundle pack", "serve"} <= shown


def test_the_unit_runs_a_command_that_the_command_line_takes() -> None:
    (command,) = (value for key, value in unit_settings() if key == "ExecStart")
    program, _, arguments = command.partition(" ")
    assert program == "/usr/local/bin/legoclf"
    assert parse(arguments) is not None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    # That the program is there is checked too, and on this machine it is elsewhere.
    there = tmp_path / UNIT.name
    there.write_text(text.replace("/usr/local/bin/legoclf", "/bin/true"), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(there)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_says_nothing_twice_and_leaves_the_camera_and_the_gpu_in_reach() -> None:
    keys = [key for key, _ in unit_settings() if key != "Environment"]
    assert len(keys) == len(set(keys))
    assert not {"PrivateDevices", "PrivateTmp", "MemoryDenyWriteExecute", "DevicePolicy"} & set(keys)


def test_the_unit_asks_for_nothing_that_the_systemd_of_jetpack_4_does_not_know() -> None:
    # Ubuntu 18.04 has 237; what it does not know it passes over in silence but for a line in the journal.
    newer = {"ProtectHostname", "ProtectClock", "ProtectKernelLogs", "RestrictSUIDSGID", "ProtectProc"}
    assert not newer & {key for key, _ in unit_settings()}


@pytest.mark.parametrize("file", [UNIT, DOCKERFILE, GUIDE], ids=lambda file: file.name)
def test_each_variable_of_ours_is_one_that_the_code_reads(file: Path) -> None:
    folders = ("legoclf", "jetson")
    code = "".join(path.read_text("utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py"))
    for variable in set(re.findall(r"\bLEGOCLF_\w+", file.read_text(encoding="utf-8"))):
        assert f'"{variable}"' in code


def test_the_container_starts_the_camera_unless_told_otherwise() -> None:
    device = stage("device")
    assert json.loads(device["ENTRYPOINT"]) == ["legoclf"]
    assert parse(shlex.join(json.loads(device["CMD"]))) is not None
    assert [value for kind, value in dockerfile_instructions() if kind == "FROM"][-1] == "common AS device"


def test_the_one_argument_of_sagemaker_starts_its_endpoint(tmp_path: Path) -> None:
    program = tmp_path / "legoclf"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    entry = [*json.loads(stage("sagemaker")["ENTRYPOINT"]), "serve"]
    environment = dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}")
    done = subprocess.run(entry, check=True, env=environment, capture_output=True, text=True)
    assert done.stdout == "serve --sagemaker\n"
    assert parse(done.stdout) is not None


def test_no_container_runs_as_root() -> None:
    user = stage("common")["USER"]
    assert re.search(rf"useradd .*\b{user}\b", " ".join(value for _, value in dockerfile_instructions()))
    assert user != "root"
    assert "USER" not in {**stage("device"), **stage("sagemaker")}


def test_the_container_takes_the_wheel_that_is_made() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source, _ = stage("common")["COPY"].split()
    assert Path(f"legoclf-{project['version']}-py3-none-any.whl").match(source)
    (install,) = (value for kind, value in dockerfile_instructions() if "pip3 install" in value)
    (extras,) = re.findall(r"\[(\w+)\]", install)
    assert extras in project["optional-dependencies"]


@pytest.mark.parametrize("command", [value for kind, value in dockerfile_instructions() if kind == "RUN"])
def test_what_the_container_is_built_with_is_a_shell_command(command: str) -> None:
    subprocess.run(["sh", "-n", "-c", command], check=True)
