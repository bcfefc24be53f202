"""The build in a process of its own: where memory runs out, Linux kills that one, and this one explains it.

The parent calls :func:`build_in_child`. The child reads its task as JSON from standard input, writes the
plan to the file it is told, and answers with JSON lines on what was its standard output; all that
TensorRT's libraries print goes to standard error.
"""

import collections
import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from typing import IO, Any, Callable, Deque, Dict, List, Optional

from legoclf.convert.engine.build import BuildConfig, build_engine
from legoclf.convert.engine.elapsed import Elapsed
from legoclf.convert.engine.memory import explain_exit
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.device import read_device
from legoclf.jetson.tensorrt_api import find_tensorrt

LOGGER = logging.getLogger(__name__)

#: Lines of the child's standard error that are kept to explain its end.
KEPT_LINES = 40

#: The child has the parent's module search path: with -m, a folder `legoclf` here would come first.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; from legoclf.convert.engine.worker import main; sys.exit(main())"
)


def build_in_child(onnx_path: str, config: BuildConfig, plan_path: str) -> List[str]:
    """Build an engine in a child process, showing the time it takes.

    Args:
        onnx_path: the graph.
        plan_path: an existing file that takes the plan.

    Returns:
        what the builder noted.

    Raises:
        LegoclfError: the build failed, crashed, or was killed, as it is when memory runs out.
    """
    device = read_device()
    task = {"onnx": onnx_path, "plan": plan_path, "parent": os.getpid(), "config": config._asdict()}
    with Elapsed("building the {} engine".format(config.precision.upper())) as elapsed:
        child = _Child(task, elapsed, config.verbose)
        returncode = child.wait()
    if child.error is not None:
        raise child.error
    if returncode != 0 or child.notes is None:
        raise explain_exit(returncode, device, list(child.lines))
    return child.notes


class _Child:
    """The running child, and the two threads that read what it says."""

    def __init__(self, task: Dict[str, Any], elapsed: Elapsed, verbose: bool) -> None:
        self.notes: Optional[List[str]] = None
        self.error: Optional[LegoclfError] = None
        self.lines: Deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._elapsed = elapsed
        self._verbose = verbose
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._readers = [
            threading.Thread(target=_read, args=(self._process.stdout, self._answer), daemon=True),
            threading.Thread(target=_read, args=(self._process.stderr, self._log), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        assert self._process.stdin is not None
        try:
            with self._process.stdin as stream:
                stream.write(json.dumps(task).encode("utf-8"))
        except BrokenPipeError:
            pass  # it ended at once: its exit and what it said tell why

    def wait(self) -> int:
        """Wait for its end; whatever ends the waiting, Ctrl-C among it, ends the child too."""
        try:
            while True:
                try:
                    returncode = self._process.wait(timeout=self._elapsed.interval_s)
                    break
                except subprocess.TimeoutExpired:
                    self._elapsed.tick()
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        for reader in self._readers:
            reader.join()
        return returncode

    def _answer(self, line: str) -> None:
        message = json.loads(line)
        if "phase" in message:
            self._elapsed.note = "{phase}: {done} of {steps}".format(**message)
        elif "error" in message:
            kind = UsageError if message["exit_code"] == UsageError.exit_code else LegoclfError
            self.error = kind(message["error"])
        else:
            self.notes = message["notes"]

    def _log(self, line: str) -> None:
        self.lines.append(line)
        if self._verbose:
            self._elapsed.show(line)


def _read(stream: IO[bytes], receive: Callable[[str], None]) -> None:
    with stream:
        for line in stream:
            receive(line.decode("utf-8", "replace").rstrip("\r\n"))


def main() -> int:
    """The child: build what standard input asks for."""
    # NVIDIA's libraries write to standard output: the answers need a channel of their own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    _die_with_parent(task["parent"])

    lock = threading.Lock()  # TensorRT reports progress from threads of its own

    def send(**message: Any) -> None:
        with lock:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    try:
        send(notes=_build(task, send))
    except LegoclfError as error:
        send(error=str(error), exit_code=error.exit_code)
        return error.exit_code
    except OSError as error:
        send(error="{}: {}".format(error.filename or task["plan"], error.strerror), exit_code=1)
        return LegoclfError.exit_code
    return 0


def _build(task: Dict[str, Any], send: Callable[..., None]) -> List[str]:
    given = task["config"]
    settings = dict(given, batch=tuple(given["batch"]), keep_fp32=tuple(given["keep_fp32"]))
    with open(task["onnx"], "rb") as stream:
        onnx = stream.read()

    def log(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def progress(phase: str, done: int, steps: int) -> None:
        send(phase=phase, done=done, steps=steps)

    built = build_engine(find_tensorrt(), onnx, BuildConfig(**settings), log, progress)
    with open(task["plan"], "wb") as target:
        target.write(built.plan)
        target.flush()
        os.fsync(target.fileno())
    return built.notes


def _die_with_parent(parent: int) -> None:
    """Let no build go on that nobody waits for, and let it be the first to go where memory runs out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent ends this one
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    try:
        with open("/proc/self/oom_score_adj", "w") as stream:
            stream.write("1000")
    except OSError:
        pass  # not in every container


if __name__ == "__main__":
    sys.exit(main())
