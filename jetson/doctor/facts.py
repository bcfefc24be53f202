"""What the checks look at, gathered in one place: files below a root, the interpreter, and the probes."""

import glob
import locale
import os
import platform
import shlex
import shutil
import sys
import time
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from legoclf.jetson.device import Device, read_device
from legoclf.jetson.doctor.packages import Installed, find_installed
from legoclf.jetson.doctor.probes import Probe
from legoclf.jetson.telemetry import Telemetry, read_telemetry
from legoclf.jetson.v4l2 import Mode, read_modes


class Folder(NamedTuple):
    """A folder that is there: what programs may still write to its disk, and whether this user may."""

    path: str
    free_mib: int
    is_writable: bool


class Facts(NamedTuple):
    """One machine and one Python on it.

    root: where its file system begins; / but in tests.
    device, telemetry: as read from files.
    machine: the CPU's kind, such as aarch64.
    python: version. executable: its path. paths: its sys.path.
    is_venv: it runs in a virtual environment. sees_system: which has the system's packages too.
    encoding: that of the locale, in which names are written.
    environ: the environment's variables.
    program: where the shell finds `legoclf`; None if it does not. nvcc: the same, of CUDA's compiler.
    packages: what is installed, by name.
    now: seconds since 1970, as the clock says.
    probe: what a package tells, by its name (:data:`legoclf.jetson.doctor.probe_child.PROBES`).
    modes: the modes of a camera, as :func:`legoclf.jetson.v4l2.read_modes` gives or refuses them.
    folder: what :func:`read_folder` tells of one.
    bundle: the bundle to look at; None for none.
    """

    root: str
    device: Device
    telemetry: Telemetry
    machine: str
    python: Tuple[int, int, int]
    executable: str
    paths: List[str]
    is_venv: bool
    sees_system: bool
    encoding: str
    environ: Mapping[str, str]
    program: Optional[str]
    nvcc: Optional[str]
    packages: Dict[str, List[Installed]]
    now: float
    probe: Callable[[str], Probe]
    modes: Callable[[str], List[Mode]]
    folder: Callable[[str], Folder]
    bundle: Optional[str]

    @property
    def is_jetson(self) -> bool:
        """A Jetson, also where a container hides its release."""
        return self.device.l4t is not None or "jetson" in (self.device.model or "").lower()

    @property
    def is_container(self) -> bool:
        """In a container, as Docker and Podman mark theirs."""
        return self.exists("/.dockerenv") or self.exists("/run/.containerenv")

    @property
    def pip(self) -> str:
        """The command of the pip that belongs to this Python."""
        return shlex.quote(self.executable) + " -m pip"

    def path(self, name: str) -> str:
        """Where an absolute path lies below the root."""
        return os.path.join(self.root, name.lstrip("/"))

    def exists(self, name: str) -> bool:
        """Whether there is a file, device or socket of that absolute path."""
        return os.path.lexists(self.path(name))

    def find(self, pattern: str) -> List[str]:
        """Absolute paths, without the root, that match; numbers in them in their order."""
        found = glob.glob(os.path.join(glob.escape(self.root), pattern.lstrip("/")))
        names = ["/" + os.path.relpath(path, self.root) for path in found]
        return sorted(names, key=lambda name: (len(name), name))

    def read(self, name: str) -> str:
        """A file's text without white space at its ends; empty where it is missing or may not be read."""
        try:
            with open(self.path(name), "rb") as stream:
                return stream.read().decode("utf-8", "replace").strip("\0 \t\r\n")
        except OSError:
            return ""

    def installed(self, name: str) -> Optional[Installed]:
        """The distribution of that name that is imported; None if there is none."""
        places = self.packages.get(name)
        return places[0] if places else None


def gather(probe: Callable[[str], Probe], bundle: Optional[str] = None, root: str = "/") -> Facts:
    """The facts of this machine, or of the one whose files lie below ``root``."""
    is_venv = sys.prefix != sys.base_prefix
    return Facts(
        root=root,
        device=read_device(root),
        telemetry=read_telemetry(root),
        machine=platform.machine(),
        python=sys.version_info[:3],
        executable=sys.executable,
        paths=[os.path.abspath(path) for path in sys.path],
        is_venv=is_venv,
        sees_system=not is_venv or _sees_system(sys.prefix),
        encoding=sys.stdout.encoding or locale.getpreferredencoding(False),
        environ=os.environ,
        program=shutil.which("legoclf"),
        nvcc=shutil.which("nvcc"),
        packages=find_installed(sys.path),
        now=time.time(),
        probe=probe,
        modes=read_modes,
        folder=read_folder,
        bundle=bundle,
    )


def read_folder(path: str) -> Folder:
    """A folder, or the nearest above it that is there."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    # Not f_bfree: a share of the disk is kept for root.
    return Folder(path, status.f_bavail * status.f_frsize // 2**20, os.access(path, os.W_OK))


def _sees_system(prefix: str) -> bool:
    try:
        with open(os.path.join(prefix, "pyvenv.cfg"), encoding="utf-8") as stream:
            settings = stream.read().lower().replace(" ", "")
    except OSError:
        return False
    return "include-system-site-packages=true" in settings
