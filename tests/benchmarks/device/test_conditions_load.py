"""Who had the cores: accounts of the kernel's, made by proc(5) and the kernel's cgroup documentation."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from legoclf.benchmarks.device.conditions import Watch
from legoclf.benchmarks.device.conditions_load import Load, Quota, load_between, read_cpu_use, read_quota

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="needs Linux's account of the cores"
)


def put(root: Path, name: str, text: str) -> None:
    path = root.joinpath(*name.split("/"))
    os.makedirs(str(path.parent), exist_ok=True)
    path.write_text(text)


def ours() -> List[int]:
    return sorted(os.sched_getaffinity(0))


def account(root: Path, counts: Dict[int, List[int]]) -> None:
    """Ticks of user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice, by CPU."""
    lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
    lines += ["cpu{} {}".format(cpu, " ".join(map(str, ticks))) for cpu, ticks in counts.items()]
    put(root, "proc/stat", "\n".join([*lines, "intr 1 2 3", "ctxt 4"]) + "\n")


def load(root: Path, counts: List[int], on_others: int = 0) -> Load:
    """What an account tells that grew by these counts on each of our CPUs."""
    stranger = max(ours()) + 1
    account(root, {cpu: [1] * 10 for cpu in [*ours(), stranger]})
    before = read_cpu_use(str(root))
    grown = {cpu: [1 + count for count in counts] for cpu in ours()}
    grown[stranger] = [1 + on_others] * 10
    account(root, grown)
    found = load_between(before, read_cpu_use(str(root)))
    assert found is not None
    return found


# 1000 ticks of each CPU; what this test uses itself meanwhile is a few ticks.
_OWN = 0.05


def test_all_kinds_of_work_are_others_work_and_waiting_is_none(tmp_path: Path) -> None:
    found = load(tmp_path, [100, 50, 60, 600, 100, 40, 50, 0, 0, 0])
    assert found.others == pytest.approx(0.3, abs=_OWN)
    assert found.stolen == 0


def test_guests_are_not_counted_twice(tmp_path: Path) -> None:
    assert load(tmp_path, [300, 0, 0, 700, 0, 0, 0, 0, 300, 0]).others == pytest.approx(0.3, abs=_OWN)


def test_what_the_hypervisor_took_is_told_by_itself(tmp_path: Path) -> None:
    found = load(tmp_path, [0, 0, 0, 880, 0, 0, 0, 120, 0, 0])
    assert found.stolen == pytest.approx(0.12)
    assert found.others == pytest.approx(0, abs=_OWN)


def test_work_on_cpus_that_we_may_not_use_took_nothing_of_ours(tmp_path: Path) -> None:
    found = load(tmp_path, [0, 0, 0, 1000, 0, 0, 0, 0, 0, 0], on_others=100000)
    assert found == Load(0.0, 0.0)


def test_too_short_a_time_tells_nothing(tmp_path: Path) -> None:
    account(tmp_path, {cpu: [1] * 10 for cpu in ours()})
    before = read_cpu_use(str(tmp_path))
    account(tmp_path, {cpu: [2] * 10 for cpu in ours()})
    assert load_between(before, read_cpu_use(str(tmp_path))) is None


def test_without_an_account_nothing_is_told(tmp_path: Path) -> None:
    assert read_cpu_use(str(tmp_path)) is None
    account(tmp_path, {cpu: [0] * 10 for cpu in ours()})  # as sandboxes have it
    assert read_cpu_use(str(tmp_path)) is None
    assert load_between(None, None) is None


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([340, 0, 0, 660, 0, 0, 0, 0], "other work took 3"),
        ([0, 0, 0, 880, 0, 0, 0, 120], "the hypervisor took 12 % of the cores"),
        ([35, 0, 0, 925, 0, 0, 0, 40], "other work and the hypervisor took "),
    ],
)
def test_the_header_names_who_took_the_cores(tmp_path: Path, counts: List[int], reason: str) -> None:
    # Ten times as long, so that what this test itself uses is far below the last digit that is told.
    account(tmp_path, {cpu: [1] * 8 for cpu in ours()})
    with Watch(["legoclf"], str(tmp_path)) as watch:
        account(tmp_path, {cpu: [1 + 10 * count for count in counts] for cpu in ours()})
    (told,) = watch.header()["unsteady"]
    assert told.startswith(reason)


def test_a_child_that_is_alive_is_our_own_time() -> None:
    before = read_cpu_use()
    child = subprocess.Popen([sys.executable, "-c", "import time\nwhile time.process_time() < 20: pass"])
    try:
        after = before
        while after is None or before is None or after.own_s - before.own_s < 0.5:
            time.sleep(0.02)  # so that nearly all of it is the child's
            after = read_cpu_use()
    finally:
        child.kill()
        child.wait()
    # The time is kept when the child has ended: it is among those waited for then, and not counted twice.
    # Each of the four times that are added is rounded down to a tick of a hundredth of a second.
    ended = read_cpu_use()
    assert ended is not None
    assert after.own_s - 0.05 < ended.own_s < after.own_s + 0.4


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/cpu.stat": "usage_usec 9\nnr_periods 40\nnr_throttled 10\nthrottled_usec 7\n",
            },
            Quota(1.5, 40, 10),
        ),
        (
            {
                "proc/self/cgroup": "0::/system.slice/x.scope\n",
                "sys/fs/cgroup/system.slice/x.scope/cpu.max": "max 100000\n",
                "sys/fs/cgroup/system.slice/cpu.max": "200000 100000\n",
            },
            Quota(2.0, 0, 0),
        ),
        (
            {
                "proc/self/cgroup": "3:memory:/a\n2:cpu,cpuacct:/docker/1f\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 8\nnr_throttled 4\nthrottled_time 5\n",
            },
            Quota(0.5, 8, 4),
        ),
        (
            {
                "proc/self/cgroup": "2:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({}, None),
    ],
    ids=["cgroups 2", "cgroups 2, on the slice above", "cgroups 1, in a container", "no quota", "no cgroups"],
)
def test_a_containers_quota_is_found(tmp_path: Path, files: Dict[str, str], quota: Optional[Quota]) -> None:
    for name, text in files.items():
        put(tmp_path, name, text)
    assert read_quota(str(tmp_path)) == quota


def test_a_quota_that_stopped_the_work_is_named(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000\n")
    put(tmp_path, "sys/fs/cgroup/cpu.stat", "nr_periods 100\nnr_throttled 10\n")
    with Watch(["legoclf"], str(tmp_path)) as watch:
        put(tmp_path, "sys/fs/cgroup/cpu.stat", "nr_periods 200\nnr_throttled 40\n")
    header = watch.header()
    assert header["unsteady"] == ["the container's quota of 1.5 cores stopped it in 30 % of the periods"]
    assert header["cpu_quota"] == 1.5
