"""What machine this is: L4T, JetPack, board, memory and swap, all read from files.

On a machine that is no Jetson the fields that only a Jetson has are None.
"""

import os
import re
from typing import Dict, NamedTuple, Optional, Tuple

#: JetPack by L4T release (NVIDIA's JetPack archive; ``.0`` at the end is left out).
JETPACK_BY_L4T: Dict[str, str] = {
    "32.1": "4.2",
    "32.2": "4.2.1",
    "32.2.1": "4.2.2",
    "32.2.3": "4.2.3",
    "32.3.1": "4.3",
    "32.4.3": "4.4",
    "32.4.4": "4.4.1",
    "32.5": "4.5",
    "32.5.1": "4.5.1",
    "32.5.2": "4.5.1",
    "32.6.1": "4.6",
    "32.7.1": "4.6.1",
    "32.7.2": "4.6.2",
    "32.7.3": "4.6.3",
    "32.7.4": "4.6.4",
    "32.7.5": "4.6.5",
    "32.7.6": "4.6.6",
    "35.1": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5": "5.1.3",
    "35.6": "5.1.4",
    "35.6.1": "5.1.5",
    "35.6.2": "5.1.5",
    "36.2": "6.0",
    "36.3": "6.0",
    "36.4": "6.1",
    "36.4.2": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
}

#: JetPack's major version by that of L4T, for releases younger than the table.
MAJOR_BY_L4T: Dict[str, str] = {"32": "4", "35": "5", "36": "6", "38": "7"}


#: MiB that a build of a MobileNet's engine takes on a Jetson. An estimate, not a measurement: about 1 GiB for
#: TensorRT 8.2 with the cuDNN and cuBLAS it loads, and half as much for CUDA's context and the workspace.
BUILD_MIB = 1536

#: How a Jetson gets swap for it.
ADD_SWAP = (
    "sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && "
    "sudo mkswap /swapfile && sudo swapon /swapfile"
)


class Device(NamedTuple):
    """One machine. Memory in MiB; None where the machine does not tell.

    l4t: release of Linux for Tegra, such as ``32.7.1``.
    jetpack: such as ``4.6.1``; ``6.x`` where only the major version is known.
    model: the board as its device tree names it.
    ram_available_mib: what programs can get without swapping.
    swap_free_mib: free swap of any kind; zram among it is in the RAM itself.
    zram_total_mib: how much of swap_total_mib is zram.
    """

    l4t: Optional[str]
    jetpack: Optional[str]
    model: Optional[str]
    ram_total_mib: Optional[int]
    ram_available_mib: Optional[int]
    swap_total_mib: int
    swap_free_mib: int
    zram_total_mib: int


def read_device(root: str = "/") -> Device:
    """Look at this machine; ``root`` is where its file system begins."""
    l4t = parse_l4t(_read(root, "etc/nv_tegra_release"))
    memory = _meminfo(_read(root, "proc/meminfo"))
    swap_total, swap_used, zram = _swaps(_read(root, "proc/swaps"))
    model = _read(root, "proc/device-tree/model").rstrip("\0\n")
    return Device(
        l4t=l4t,
        jetpack=None if l4t is None else jetpack_of(l4t),
        model=model or None,
        ram_total_mib=memory.get("MemTotal"),
        ram_available_mib=memory.get("MemAvailable"),
        swap_total_mib=swap_total,
        swap_free_mib=swap_total - swap_used,
        zram_total_mib=zram,
    )


def parse_l4t(text: str) -> Optional[str]:
    """The release in /etc/nv_tegra_release, ``.0`` at its end left out; None if there is none.

    ``# R32 (release), REVISION: 7.1, GCID: …`` is 32.7.1.
    """
    match = re.search(r"R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)", text)
    if not match:
        return None
    release = "{}.{}".format(*match.groups())
    return re.sub(r"(\.\d+)\.0$", r"\1", release)


def jetpack_of(l4t: str) -> Optional[str]:
    """The JetPack of an L4T release; its major version as ``6.x`` where the release is not in the table."""
    if l4t in JETPACK_BY_L4T:
        return JETPACK_BY_L4T[l4t]
    major = MAJOR_BY_L4T.get(l4t.split(".")[0])
    return None if major is None else major + ".x"


def _read(root: str, name: str) -> str:
    """A file's text; empty where it is missing or may not be read."""
    try:
        with open(os.path.join(root, *name.split("/")), "rb") as stream:
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _meminfo(text: str) -> Dict[str, int]:
    """MiB by name, of lines such as ``MemTotal:  4059712 kB``."""
    return {
        name: int(kib) // 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", text, flags=re.MULTILINE)
    }


def _swaps(text: str) -> Tuple[int, int, int]:
    """Total and used swap, and how much of the total is zram, in MiB, of /proc/swaps."""
    total = used = zram = 0
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 5:
            continue
        # From the right: a file's name may hold spaces.
        size_kib, used_kib = int(fields[-3]), int(fields[-2])
        total += size_kib
        used += used_kib
        if os.path.basename(fields[0]).startswith("zram"):
            zram += size_kib
    return total // 1024, used // 1024, zram // 1024
