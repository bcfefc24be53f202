"""The start of a packed bundle: its command line is legoclf's, and the bundle inside is the one meant."""

import importlib.util
import os
import sys
import zipfile
from typing import Any, List

from legoclf.errors import LegoclfError, printable
from legoclf.jetson.pack.archive import Header, read_header
from legoclf.jetson.pack.unpack import unpack

#: It finds out what is wrong with a machine: no NumPy, a disk that is full.
DOCTOR = "doctor"


def start(archive: str, cli: Any, arguments: List[str]) -> int:
    """Run a command of legoclf out of a packed bundle.

    Args:
        archive: the path of the file that runs.
        cli: :mod:`legoclf.cli`, whose commands are cut down here to those that were packed.
        arguments: of the command line.

    Returns:
        the exit code.
    """
    try:
        header = read_header(archive)
        _keep_packed(archive, cli)
        if not arguments or arguments[0] in ("-h", "--help"):
            sys.stdout.write(_introduction(archive, header))
        elif not {"-h", "--help", "--version"} & set(arguments):
            _provide_bundle(archive)
    except LegoclfError as error:
        if "--debug" in arguments:
            raise
        sys.stderr.write("{}: error: {}\n".format(os.path.basename(archive), printable(str(error))))
        if arguments[:1] != [DOCTOR]:
            return error.exit_code
    code: int = cli.main(arguments)
    return code


def _keep_packed(archive: str, cli: Any) -> None:
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
    for name, command in list(cli.COMMANDS.items()):
        if command.module.replace(".", "/") + ".py" not in names:
            del cli.COMMANDS[name]


def _provide_bundle(archive: str) -> None:
    # Not setdefault: a variable set for other work must not change what this file answers with.
    os.environ["LEGOCLF_BUNDLE"] = unpack(archive)
    if importlib.util.find_spec("numpy") is None:
        raise LegoclfError("NumPy is not installed; it comes with: sudo apt install python3-numpy")


def _introduction(archive: str, header: Header) -> str:
    name = os.path.basename(archive)
    return (
        "{name}: legoclf {version} with {bundle} inside, which is meant where BUNDLE is left out.\n"
        "Run it as `python3 {name}` where the help below says `legoclf`.\n\n"
    ).format(name=name, version=header.legoclf, bundle=header.bundle)
