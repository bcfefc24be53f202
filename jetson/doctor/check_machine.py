"""Checks of memory, disk, power, clocks, heat and the time of day."""

import os
import re
import shlex
import time
from typing import Optional, Tuple

from legoclf.jetson.device import ADD_SWAP, BUILD_MIB
from legoclf.jetson.doctor.check import Finding, not_here, note, ok, problem
from legoclf.jetson.doctor.facts import Facts
from legoclf.user_cache import default_cache_dir

#: MiB that should be free: a bundle with its engines takes up to 100, the caches as much, and a system
#: without room for its own logs fails in strange ways.
LEAST_FREE_MIB = 500

#: No release of legoclf is older: a clock before has never been set. The original Nano has no battery for it.
FIRST_YEAR = 2020

#: Power modes that set no limit, the fastest first.
_FASTEST = ("MAXN_SUPER", "MAXN")


def check_memory(facts: Facts) -> Finding:
    """Whether an engine can be built in what is free."""
    device = facts.device
    if device.ram_available_mib is None:
        return not_here("/proc/meminfo does not tell")
    zram = device.zram_total_mib
    is_zram = zram > 0 and zram == device.swap_total_mib
    text = "{} of {} MiB of RAM free, {} of {} MiB of swap{}".format(
        device.ram_available_mib,
        device.ram_total_mib,
        device.swap_free_mib,
        device.swap_total_mib,
        " (zram, which lies in the RAM itself)" if is_zram else "",
    )
    if device.ram_available_mib + device.swap_free_mib < BUILD_MIB:
        what = "{}: a build takes about {}, and may be killed".format(text, BUILD_MIB)
        return problem(what, ADD_SWAP) if facts.is_jetson else note(what, ADD_SWAP)
    if is_zram and device.ram_available_mib < BUILD_MIB:
        return note("{}: a build takes about {}".format(text, BUILD_MIB), ADD_SWAP)
    return ok(text)


def check_disk(facts: Facts) -> Finding:
    """Room where bundles and caches lie, and the right to write there."""
    cache = facts.folder(facts.environ.get("LEGOCLF_CACHE_DIR") or default_cache_dir())
    folders = [cache, facts.folder(facts.bundle or os.getcwd())]
    for folder in folders:
        if folder.free_mib < LEAST_FREE_MIB:
            return problem(
                "{} MiB free in {}: engines and caches need more".format(folder.free_mib, folder.path),
                "free {} MiB there; du -xh --max-depth=1 / | sort -h shows what takes the most".format(
                    LEAST_FREE_MIB - folder.free_mib
                ),
            )
    if not cache.is_writable:
        return problem(
            "{} may not be written to, where legoclf keeps its cache".format(cache.path),
            "sudo chown -R $USER {}".format(shlex.quote(cache.path)),
        )
    told = ["{:.1f} GiB free in {}".format(folder.free_mib / 1024, folder.path) for folder in folders]
    return ok(", ".join(sorted(set(told), key=told.index)))


def check_power_mode(facts: Facts) -> Finding:
    """nvpmodel's mode: whether it caps the clocks."""
    mode = facts.telemetry.power_mode
    if mode is None:
        return not_here("nvpmodel tells none" if facts.is_jetson else "only Jetsons have them")
    fastest = _fastest_mode(facts)
    if fastest is None or fastest[1] == mode:
        return ok(mode)
    return note(
        "{}, which caps the clocks; {} does not".format(mode, fastest[1]),
        "sudo nvpmodel -m {}, where the power supply is strong enough".format(fastest[0]),
    )


def check_clocks(facts: Facts) -> Finding:
    """Clocks that move make latencies vary."""
    cpus, gpu = facts.telemetry.cpus, facts.telemetry.gpu
    clocks = []
    if cpus:
        rates = [cpu.mhz for cpu in cpus if cpu.mhz is not None]
        limits = [cpu.max_mhz for cpu in cpus if cpu.max_mhz is not None]
        clocks.append(
            "CPU at {:.0f} of {:.0f} MHz ({})".format(
                max(rates or [0]), max(limits or [0]), cpus[0].governor or "no governor told"
            )
        )
    if gpu is not None and gpu.mhz is not None:
        clocks.append("GPU at {:.0f} of {:.0f} MHz".format(gpu.mhz, gpu.max_mhz or gpu.mhz))
    if not clocks:
        return not_here("not told")
    moving = [cpu for cpu in cpus if cpu.is_locked is False]
    if facts.is_jetson and (moving or (gpu is not None and gpu.is_locked is False)):
        return note(
            "{}: they move with the load, and latencies with them".format(", ".join(clocks)),
            "sudo jetson_clocks (until the next start)",
        )
    return ok(", ".join(clocks))


def check_heat(facts: Facts) -> Finding:
    """Whether heat or the supply slows the machine down."""
    telemetry = facts.telemetry
    hottest = telemetry.temperature_c
    text = "{:.0f} °C".format(hottest) if hottest is not None else "no sensor"
    if telemetry.throttled_by:
        return problem(
            "{}: slowed down by {}".format(text, ", ".join(telemetry.throttled_by)),
            "give its heat sink air, best by a fan",
        )
    current = {
        name: count for name, count in telemetry.throttle_counts.items() if "current" in name and count
    }
    if current:
        return problem(
            "slowed down {} times since its start for want of current".format(sum(current.values())),
            "use a stronger power supply (for a Nano 5 V 4 A by the barrel jack)",
        )
    if hottest is None:
        return not_here(text)
    return ok(text + ", nothing slows it down")


def check_time(facts: Facts) -> Finding:
    """A clock that was never set spoils TLS and the dates of engines and files."""
    year = time.gmtime(facts.now).tm_year
    text = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(facts.now))
    if year >= FIRST_YEAR:
        return ok(text)
    return note(
        "{}: the clock was never set (the Nano keeps none without power)".format(text),
        "connect it to a network and run sudo timedatectl set-ntp true",
    )


def _fastest_mode(facts: Facts) -> Optional[Tuple[int, str]]:
    """Number and name of the mode that sets no limit, of /etc/nvpmodel.conf; None if no mode says so.

    Not the highest or lowest number: on an Orin Nano with MAXN_SUPER that is 2, between 25W and 7W.
    """
    models = re.findall(
        r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>",
        facts.read("/etc/nvpmodel.conf"),
        flags=re.MULTILINE,
    )
    for wanted in _FASTEST:
        for number, name in models:
            if name == wanted:
                return int(number), str(name)
    return None
