"""How many cores there are for this process."""

import os


def available_cores() -> int:
    """Cores this process may use: fewer than the machine's in a container or under taskset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
