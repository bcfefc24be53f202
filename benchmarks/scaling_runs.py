"""One `legoclf retrain` as a process of its own: its time, its peak memory, the seconds of its stages."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from legoclf.benchmarks.process import last_line
from legoclf.errors import LegoclfError

# Between this process and the run: the peak that Linux tells of a process is at first that of the one which
# started it, and this program is smaller than any run. What the run prints is not wanted.
_METER = """
import json, resource, subprocess, sys, time
started_at = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - started_at
print(json.dumps([code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""

#: What a run says of its stages, in the order of its lines.
_STAGES = ("reading headers", "extracting features", "training the head")


@dataclass(frozen=True)
class Run:
    """One `legoclf retrain`: its wall-clock time, its peak resident memory, the seconds of its stages."""

    seconds: float
    peak_mb: float
    stages: Mapping[str, float] = field(default_factory=dict)


def run_measured(call: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run a command to its end.

    Whatever ends the waiting, Ctrl-C among it, ends the command too.

    Raises:
        LegoclfError: it fails; the text is the last line that it wrote to standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _METER, *call],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    code, seconds, peak = json.loads(output) if process.returncode == 0 else (process.returncode, 0.0, 0)
    if code:
        raise LegoclfError(f"`legoclf retrain` failed: {last_line(errors, code)}")
    # macOS tells bytes, Linux KiB.
    mb = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return Run(seconds, mb, read_stages(errors))


def read_stages(text: str) -> dict[str, float]:
    """The seconds of each stage that `legoclf retrain` tells of on standard error."""
    found = {}
    for stage in _STAGES:
        told = re.search(rf"^{stage}: \d+ \w+ in ([\d.]+) s$", text, re.MULTILINE)
        if told:
            found[stage] = float(told[1])
    return found
