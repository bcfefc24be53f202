"""Other commands of legoclf, each run as a process of its own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from legoclf.errors import LegoclfError


def run_legoclf(words: Sequence[str], most_seconds: float | None = None) -> str:
    """Run `legoclf WORDS` to its end; what it printed.

    Raises:
        LegoclfError: it fails, by the last line that it wrote to standard error, or takes too long.
    """
    # Without -P a folder called legoclf where the user stands would be taken for the package.
    call = [sys.executable, "-P", "-m", "legoclf", *words]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=most_seconds)
    except subprocess.TimeoutExpired as error:
        raise LegoclfError(f"`legoclf {words[0]}` was stopped after {most_seconds:g} s") from error
    if done.returncode:
        raise LegoclfError(f"`legoclf {words[0]}` failed: {last_line(done.stderr, done.returncode)}")
    return done.stdout


def last_line(errors: str, code: int) -> str:
    """What a command that failed said at last, without the program's name before it."""
    lines = errors.strip().splitlines() or [f"it ended with exit code {code} and said nothing"]
    return lines[-1].removeprefix("legoclf: error: ")


def places_of_retrain(scratch: Path) -> list[str]:
    """Flags of `legoclf retrain` that put into a folder what it else keeps in the system's temporary one."""
    places = {
        "bottleneck_dir": "bottleneck",
        "output_graph": "graph.pb",
        "output_labels": "labels.txt",
        "summaries_dir": "logs",
        "checkpoint_path": "checkpoint",
        "intermediate_output_graphs_dir": "steps",
    }
    return [f"--{flag}={scratch / name}" for flag, name in places.items()]
