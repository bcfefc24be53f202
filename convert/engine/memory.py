"""Memory for a build: whether there is enough, and what an end of the build for want of it looks like."""

import signal
from typing import List, Optional

from legoclf.errors import LegoclfError
from legoclf.jetson.device import ADD_SWAP, BUILD_MIB, Device

_OUT_OF_MEMORY = ("out of memory", "bad_alloc", "memoryerror", "cannot allocate memory")


def memory_warning(device: Device) -> Optional[str]:
    """What to do before a build where RAM and swap are less than one takes; None where they are not."""
    if device.ram_available_mib is None:
        return None
    if device.ram_available_mib + device.swap_free_mib >= BUILD_MIB:
        return None
    return "{}, and a build takes about {} MiB: it may be killed. Add swap first: {}".format(
        _state(device), BUILD_MIB, ADD_SWAP
    )


def explain_exit(returncode: int, device: Device, lines: List[str]) -> LegoclfError:
    """The error for a build process that ended without an answer.

    Args:
        returncode: as subprocess gives it: minus the signal's number where one ended it.
        device: this machine as it was before the build.
        lines: the last lines it wrote to standard error.
    """
    said = next((line for line in reversed(lines) if line.strip()), "nothing was said")
    ran_out = any(word in line.lower() for line in lines for word in _OUT_OF_MEMORY)
    if returncode == -signal.SIGKILL or ran_out:
        how = "was killed" if returncode == -signal.SIGKILL else "ran out of memory"
        return LegoclfError(
            "the build {}, most likely for want of memory: before it, {}. Add swap: {}; then run the same "
            "command again. Without the desktop (sudo systemctl isolate multi-user.target) there is more "
            "memory too".format(how, _state(device), ADD_SWAP)
        )
    if returncode < 0:
        return LegoclfError(
            "TensorRT crashed while it built ({}); its last word: {}; --verbose shows all, and "
            "--timing_cache '' leaves the timing cache out".format(signal.Signals(-returncode).name, said)
        )
    return LegoclfError("the build process failed (exit code {}): {}".format(returncode, said))


def _state(device: Device) -> str:
    """How much RAM and swap there is, and whether the swap is only zram."""
    text = "{} MiB of RAM and {} MiB of swap were free".format(device.ram_available_mib, device.swap_free_mib)
    if device.zram_total_mib and device.zram_total_mib == device.swap_total_mib:
        text += " (all of the swap is zram, which lies in the RAM itself)"
    return text
