"""One line of NVIDIA's ``tegrastats``, as the releases from JetPack 4 to 6 print it.

Which fields there are depends on board and release; those that a line lacks are None or empty.
"""

import re
from typing import Dict, List, NamedTuple, Optional

from legoclf.errors import LegoclfError, printable
from legoclf.jetson.telemetry import hottest, is_temperature
from legoclf.jetson.telemetry_power import board_total

_MEMORY = ("RAM", "SWAP", "IRAM")


class Core(NamedTuple):
    """Load in per cent, and the clock."""

    load_percent: int
    mhz: Optional[int]


class RailPower(NamedTuple):
    """Milliwatts at the moment, and on average since tegrastats was started."""

    now_mw: float
    average_mw: float


class Tegrastats(NamedTuple):
    """One line. Memory in MB as tegrastats counts it, which is MiB.

    cores: in their order; None for one that is off.
    gpu_mhz: None where the release does not print the clock.
    temperatures_c: degrees Celsius by sensor.
    rails: by name; the GPU's is not the board's, see board.
    """

    ram_used_mb: int
    ram_total_mb: int
    swap_used_mb: Optional[int]
    swap_total_mb: Optional[int]
    cores: List[Optional[Core]]
    gpu_load_percent: Optional[int]
    gpu_mhz: Optional[int]
    temperatures_c: Dict[str, float]
    rails: Dict[str, RailPower]

    @property
    def board(self) -> Optional[RailPower]:
        """The whole board's power; None where the rails do not tell it."""
        now = board_total({name: rail.now_mw for name, rail in self.rails.items()})
        average = board_total({name: rail.average_mw for name, rail in self.rails.items()})
        return None if now is None or average is None else RailPower(now, average)

    @property
    def hottest(self) -> Optional[str]:
        """The sensor that is hottest, of those that measure."""
        return hottest(self.temperatures_c)


def parse_tegrastats(line: str) -> Tegrastats:
    """Read one line.

    Raises:
        LegoclfError: it is none of tegrastats.
    """
    ram = re.search(r"\bRAM (\d+)/(\d+)MB", line)
    if ram is None:
        raise LegoclfError(
            "not a line of tegrastats: expected 'RAM used/totalMB …', got '{}'".format(printable(line[:60]))
        )
    swap = re.search(r"\bSWAP (\d+)/(\d+)MB", line)
    # The clock is @76, @[114], one for each GPC as @[305,305], or missing.
    gpu = re.search(r"\bGR3D_FREQ (\d+)%(?:@\[?(\d+))?", line)
    return Tegrastats(
        ram_used_mb=int(ram.group(1)),
        ram_total_mb=int(ram.group(2)),
        swap_used_mb=int(swap.group(1)) if swap else None,
        swap_total_mb=int(swap.group(2)) if swap else None,
        cores=_cores(line),
        gpu_load_percent=int(gpu.group(1)) if gpu else None,
        gpu_mhz=int(gpu.group(2)) if gpu and gpu.group(2) else None,
        temperatures_c=_temperatures(line),
        rails=_rails(line),
    )


def _cores(line: str) -> List[Optional[Core]]:
    listed = re.search(r"\bCPU \[([^\]]*)\]", line)
    if listed is None:
        return []
    cores: List[Optional[Core]] = []
    for text in listed.group(1).split(","):
        told = re.match(r"(\d+)%(?:@(\d+))?$", text.strip())
        # "off", and anything that a later release may say in its place
        cores.append(
            Core(int(told.group(1)), int(told.group(2)) if told.group(2) else None) if told else None
        )
    return cores


def _temperatures(line: str) -> Dict[str, float]:
    found = re.findall(r"(?:^|\s)([A-Za-z]\w*)@(-?\d+(?:\.\d+)?)C(?=\s|$)", line)
    return {name: float(value) for name, value in found if is_temperature(float(value))}


def _rails(line: str) -> Dict[str, RailPower]:
    # Without a unit before JetPack 5, where a line that is cut off in its memory looks like it.
    found = re.findall(r"(?:^|\s)([A-Z]\w*) (\d+)(?:mW)?/(\d+)(?:mW)?(?=\s|$)", line)
    return {
        name: RailPower(float(now), float(average)) for name, now, average in found if name not in _MEMORY
    }
