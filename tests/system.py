"""Install what tests need and pip does not have, GStreamer and Chromium: `python tests/system.py`.

Does so as root on a Debian or Ubuntu; elsewhere, and where the packages cannot be had, it says in one line
that those tests are skipped and why, and is content.
"""

import os
import shutil
import subprocess
import sys

PACKAGES = (
    "gstreamer1.0-tools",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
    "gstreamer1.0-libav",
    "gstreamer1.0-rtsp",
    "python3-gi",
    "gir1.2-gst-rtsp-server-1.0",
    "chromium",
    "chromium-driver",
)
#: Seconds for apt-get: without a network it would try again and again.
TIMEOUT_S = 600


def missing_packages() -> list[str]:
    """Those of PACKAGES that dpkg does not have installed."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *PACKAGES]
    done = subprocess.run(query, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in PACKAGES if package not in installed]


def install(packages: list[str]) -> str:
    """Install Debian packages; why it failed, or nothing."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    options = ["-qq", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]
    commands = (
        ["apt-get", *options, "update"],
        ["apt-get", *options, "install", "-y", "--no-install-recommends", *packages],
    )
    for command in commands:
        try:
            done = subprocess.run(
                command,
                check=False,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    # An update that fails may still leave lists from which everything can be had.
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["apt-get failed"])[-1]
    return ""


def main() -> int:
    """Install what is missing, or say why not; 0 always, for without it the tests are skipped."""
    if shutil.which("dpkg-query") is None:
        return skip("this is no Debian or Ubuntu", list(PACKAGES))
    missing = missing_packages()
    if not missing:
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return skip("only root can install them with apt-get", missing)
    reason = install(missing)
    return skip(reason, missing) if reason else 0


def skip(reason: str, packages: list[str]) -> int:
    """Say what is left out."""
    needed = " ".join(packages)
    sys.stderr.write(f"tests with a real GStreamer or browser may be skipped: {reason}; they need {needed}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
