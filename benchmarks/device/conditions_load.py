"""Who else had the cores while a benchmark ran: the kernel's account of them, less what is our own.

/proc/stat counts the work of the whole machine, from inside a container too, where it is the only way to see
the neighbours. Only the CPUs that this process may run on are looked at: work on the others took nothing of
ours, save for what all share, such as the memory's bandwidth. Where a container's quota gives less than these
CPUs, the share is still one of all of them, as any of them could have been ours; that the quota itself
stopped the work is told by :func:`read_quota`.
"""

import os
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from legoclf.jetson.telemetry_files import find, read_text

#: Less than these seconds of CPU time are too few of the kernel's ticks, a hundredth of a second each.
LEAST_SECONDS = 1.0


class CpuUse(NamedTuple):
    """Seconds of CPU time since the machine's start, of the CPUs that this process may use, added up.

    busy_s: at work, for whom ever. stolen_s: the hypervisor gave them to another virtual machine.
    total_s: all time there was. own_s: this process with its children, dead and alive, since their start.
    """

    busy_s: float
    stolen_s: float
    total_s: float
    own_s: float


class Load(NamedTuple):
    """Shares of the CPUs' time, from 0 to 1."""

    others: float
    stolen: float


class Quota(NamedTuple):
    """What a container may use, in cores, and how many of its periods there were and were cut short."""

    cores: float
    periods: int
    cut_short: int


def read_cpu_use(root: str = "/") -> Optional[CpuUse]:
    """Read the account; None where there is no /proc/stat, as on systems other than Linux."""
    if not hasattr(os, "sysconf"):
        return None
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    ticks_s = 1.0 / os.sysconf("SC_CLK_TCK")
    busy = stolen = total = 0
    for line in read_text(os.path.join(root, "proc/stat")).splitlines():
        name, _, counts = line.partition(" ")
        if not (name.startswith("cpu") and name[3:].isdigit()):
            continue
        if allowed is not None and int(name[3:]) not in allowed:
            continue
        # user nice system idle iowait irq softirq steal; the guests after them are part of user and nice
        fields = [int(count) for count in counts.split()[:8]] + [0] * 8
        busy += sum(fields[:3]) + sum(fields[5:7])
        stolen += fields[7]
        total += sum(fields[:8])
    if not total:
        return None
    return CpuUse(busy * ticks_s, stolen * ticks_s, total * ticks_s, _own_seconds(root, ticks_s))


def load_between(before: Optional[CpuUse], after: Optional[CpuUse]) -> Optional[Load]:
    """What others took between two readings; None where that cannot be told, or the time was too short."""
    if before is None or after is None or after.total_s - before.total_s < LEAST_SECONDS:
        return None
    total_s = after.total_s - before.total_s
    others_s = after.busy_s - before.busy_s - (after.own_s - before.own_s)
    stolen_s = after.stolen_s - before.stolen_s
    return Load(_share(others_s, total_s), _share(stolen_s, total_s))


def read_quota(root: str = "/") -> Optional[Quota]:
    """The tightest CPU quota on this process, of cgroups 1 or 2; None where there is none."""
    quotas = [quota for quota in map(_quota, _cgroups(root)) if quota is not None]
    return min(quotas) if quotas else None


def _own_seconds(root: str, ticks_s: float) -> float:
    """Of this process, of its children that have ended, and of those alive, with their own children.

    A child that was alive at one reading and has ended at the next is in both.
    """
    own = os.times()
    seconds = own.user + own.system + own.children_user + own.children_system
    ticks: Dict[int, int] = {}
    children: Dict[int, List[int]] = {}
    for path in find(root, "proc/[0-9]*/stat"):
        # The name, in parentheses, may hold spaces and parentheses.
        fields = read_text(path).rpartition(")")[2].split()
        if len(fields) < 15:  # it has just ended
            continue
        pid, parent = int(os.path.basename(os.path.dirname(path))), int(fields[1])
        ticks[pid] = sum(int(field) for field in fields[11:15])
        children.setdefault(parent, []).append(pid)
    waiting = list(children.get(os.getpid(), ()))
    while waiting:
        pid = waiting.pop()
        seconds += ticks[pid] * ticks_s
        waiting += children.get(pid, ())
    return seconds


def _cgroups(root: str) -> Iterable[str]:
    """The folders of this process's CPU cgroups and of those they lie in, up to the mount's own."""
    for line in read_text(os.path.join(root, "proc/self/cgroup")).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            mount = "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = "sys/fs/cgroup/cpu"  # a link where cpu and cpuacct are mounted as one
        else:
            continue
        parts = [part for part in group.split("/") if part and part != ".."]
        for depth in range(len(parts), -1, -1):
            yield os.path.join(root, mount, *parts[:depth])


def _quota(folder: str) -> Optional[Quota]:
    allowed, period = _quota_us(folder)
    if not (allowed.isdigit() and period.isdigit() and int(period)):  # "max", or -1
        return None
    pairs = (line.split() for line in read_text(os.path.join(folder, "cpu.stat")).splitlines())
    counts = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    return Quota(int(allowed) / float(period), counts.get("nr_periods", 0), counts.get("nr_throttled", 0))


def _quota_us(folder: str) -> Tuple[str, str]:
    fields = read_text(os.path.join(folder, "cpu.max")).split()
    if len(fields) == 2:
        return fields[0], fields[1]
    quota, period = (
        read_text(os.path.join(folder, name)) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    )
    return quota, period


def _share(part: float, total: float) -> float:
    return min(1.0, max(0.0, part / total))
