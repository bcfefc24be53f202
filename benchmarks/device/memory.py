"""What an open network takes of the machine's memory: this process's, and the GPU's where CUDA tells."""

import re
from contextlib import ExitStack
from typing import Any, Dict, Optional

from legoclf.errors import LegoclfError

_MIB = float(1 << 20)


def resident_mb(root: str = "/") -> Dict[str, Optional[float]]:
    """``now`` and ``peak`` of this process's resident set in MiB; None where /proc does not tell.

    A peak that /proc does not tell is that of ``getrusage``.
    """
    try:
        with open(root.rstrip("/") + "/proc/self/status", encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        text = ""
    found = {name: int(kib) / 1024.0 for name, kib in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", text, re.M)}
    peak = found.get("VmHWM")
    return {"now": found.get("VmRSS"), "peak": _peak_by_getrusage() if peak is None else peak}


class MemoryLog(object):
    """Looks at the memory before the networks are opened, after each, and at the end; a context manager.

    Memory of the GPU is that of the whole device, in use by whomever. On a Jetson it is the same memory as
    the machine's.

    Args:
        with_gpu: ask CUDA too, where it is there. Its context is made first, so that no network is charged
            with it.
    """

    def __init__(self, with_gpu: bool) -> None:
        self._stack = ExitStack()
        self._cuda: Any = self._open_cuda() if with_gpu else None
        self._before = resident_mb()["now"]
        self._gpu_before = self._gpu_used()
        self._opened: Dict[str, Dict[str, Optional[float]]] = {}

    def __enter__(self) -> "MemoryLog":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stack.close()

    def note(self, name: str) -> None:
        """Remember what is in use now that so much more is open."""
        self._opened[name] = {"resident": resident_mb()["now"], "gpu": self._gpu_used()}

    def facts(self) -> Dict[str, Any]:
        """MiB: ``before``, ``opened`` by name in the order of opening, and ``peak``; None: not told."""
        return {
            "before": {"resident": self._before, "gpu": self._gpu_before},
            "opened": self._opened,
            "peak": {"resident": resident_mb()["peak"], "gpu": self._gpu_used()},
        }

    def _open_cuda(self) -> Any:
        from legoclf.jetson.cuda import open_cuda

        try:
            return self._stack.enter_context(open_cuda())
        except LegoclfError:
            return None

    def _gpu_used(self) -> Optional[float]:
        if self._cuda is None:
            return None
        free, total = self._cuda.memory_info()
        return (total - free) / _MIB


def memory_note(facts: Dict[str, Any]) -> str:
    """The figures of :meth:`MemoryLog.facts` in one line."""
    before = facts["before"]
    parts = ["{} before".format(_shown(before))]
    for name, after in facts["opened"].items():
        parts.append("{} with {}".format(_shown(after), name))
    return "memory in use: {}; at most {}".format(", ".join(parts), _shown(facts["peak"]))


def _shown(figures: Dict[str, Optional[float]]) -> str:
    text = "unknown" if figures["resident"] is None else "{:.0f} MiB".format(figures["resident"])
    return text if figures["gpu"] is None else "{} (GPU: {:.0f})".format(text, figures["gpu"])


def _peak_by_getrusage() -> Optional[float]:
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
