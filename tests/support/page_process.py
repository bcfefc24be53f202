"""A subcommand that shows a page, as a process of its own: its lines, its address, its end."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

#: What such a subcommand may take to answer, and to end.
STARTS_S, ENDS_S = 90.0, 20.0


class PageProcess:
    """`legoclf` with those words and --no_browser; a context manager that leaves no process behind."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._command = [sys.executable, "-m", "legoclf", *words, "--no_browser"]
        self._folder = folder
        self._said: queue.Queue[str | None] = queue.Queue()
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._folder,
            env={name: value for name, value in os.environ.items() if name != "LEGOCLF_BUNDLE"},
            # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(ENDS_S)

    def address(self) -> str:
        """What it tells once it answers."""
        ends = time.monotonic() + STARTS_S
        while True:
            line = self._said.get(timeout=max(0.0, ends - time.monotonic()))
            assert line is not None, "".join(self.lines)
            found = re.search(r"http://\S+", line)
            if found:
                return found.group().rstrip("/")

    def get(self, path: str) -> bytes:
        """The answer to a request of it; the address has to have been told."""
        told = next(found.group() for line in self.lines if (found := re.search(r"http://[^\s/]+", line)))
        with urllib.request.urlopen(told + path, timeout=30) as reply:
            content: bytes = reply.read()
        return content

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal; the exit code."""
        self._process.send_signal(number)
        return self.wait(ENDS_S)

    def wait(self, seconds: float = STARTS_S) -> int:
        """Wait until it ends by itself; the exit code."""
        code = self._process.wait(seconds)
        self._reader.join(ENDS_S)
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            self._said.put(line)
        self._said.put(None)
