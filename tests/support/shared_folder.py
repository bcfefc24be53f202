"""Folders that the workers of one run share, and what is made there once. For Python 3.6 as for today's."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def shared_folder(name: str) -> Path:
    """The folder of that name, the same in every worker; it goes when the run ends (tests/conftest.py)."""
    folder = Path(os.environ["LEGOCLF_TESTS_SHARED"], name)
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def held(folder: Path) -> Any:
    """While the block runs no other worker is in one for that folder."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def compile_once(command: Any, target: str) -> None:
    """Run a compiler's command; ``target`` is a copy of its output: loaded, it has a state of its own."""
    folder = shared_folder("compiled")
    made = folder / hashlib.sha256(repr(command).encode("utf-8")).hexdigest()
    with held(folder):
        if not made.exists():
            subprocess.run([*command, "-o", str(made)], check=True)
    shutil.copyfile(str(made), target)
