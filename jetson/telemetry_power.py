"""What the board draws: its INA3221 sensors' rails, and which of them are the whole.

Jetsons have these sensors and a laptop has none; there is no figure then, rather than an estimate.
Where the files lie: with JetPack 4, NVIDIA's Jetson Linux Developer Guide 32, "Power Monitor Information"
(iio); with JetPack 5 and later, the kernel's Documentation/hwmon/ina3221.rst.
"""

import os
from typing import Dict, List, NamedTuple, Optional

from legoclf.jetson.telemetry_files import find, read_number, read_text

#: The rails that together are the whole board, tried in this order: original Nano; Xavier NX, Orin Nano and
#: NX; AGX Orin, which has no sensor at its input.
BOARD_TOTALS = (("POM_5V_IN",), ("VDD_IN",), ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))


class Rail(NamedTuple):
    """One rail of a sensor. paths: one file in mW, or two in mV and mA to be multiplied."""

    name: str
    paths: List[str]

    def read_w(self) -> Optional[float]:
        """What it draws now, in watts; None where the sensor does not answer."""
        readings = [read_number(path) for path in self.paths]
        if any(reading is None for reading in readings):
            return None
        product = 1.0
        for reading in readings:
            product *= float(reading or 0)
        return product / 1000.0 ** len(readings)


def board_total(rails: Dict[str, float]) -> Optional[float]:
    """The whole board's power out of that of its rails, in their unit; None where they do not tell it."""
    for names in BOARD_TOTALS:
        if all(name in rails for name in names):
            return sum(rails[name] for name in names)
    return None


def find_rails(root: str = "/") -> List[Rail]:
    """The rails this machine has sensors for; look once, then read each as often as wanted."""
    rails = []
    # TX2 and older releases say iio_device, the original Nano iio:device0.
    for label in find(root, "sys/bus/i2c/drivers/ina3221x/*/iio[:_]device*/rail_name_*"):
        channel = label.rsplit("_", 1)[1]
        power = os.path.join(os.path.dirname(label), "in_power{}_input".format(channel))
        rails.append(Rail(read_text(label), [power]))
    # Channels 4 to 7 of the hwmon driver are shunt voltages and sums of the first three.
    for label in find(root, "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in[1-3]_label"):
        folder, name = os.path.split(label)
        voltage = os.path.join(folder, name.replace("_label", "_input"))
        current = os.path.join(folder, name.replace("in", "curr", 1).replace("_label", "_input"))
        rails.append(Rail(read_text(label), [voltage, current]))
    return [rail for rail in rails if rail.name]


def find_board_rails(root: str = "/") -> List[Rail]:
    """Only those that :func:`board_total` needs; empty where the board does not tell its total."""
    rails = {rail.name: rail for rail in find_rails(root)}
    for names in BOARD_TOTALS:
        if all(name in rails for name in names):
            return [rails[name] for name in names]
    return []


def read_rails_w(rails: List[Rail]) -> Dict[str, float]:
    """Watts by rail; a rail that does not answer is left out."""
    readings = {rail.name: rail.read_w() for rail in rails}
    return {name: watts for name, watts in readings.items() if watts is not None}
