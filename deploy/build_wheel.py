"""Build the one wheel of legoclf: python deploy/build_wheel.py [FOLDER]. `make wheel` calls it with dist.

Nothing is left in the checkout. The same commit, built with the setuptools of constraints.txt, gives the same
bytes: the time in the wheel is SOURCE_DATE_EPOCH, else that of the commit.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: The earliest time that a zip file can tell: of a checkout that has no history.
_NO_COMMIT = "315532800"


def build_wheel(folder: Path) -> Path:
    """Build the wheel into a folder, in place of an older one; its path."""
    with tempfile.TemporaryDirectory() as work:
        # Where setuptools would put build/ and legoclf.egg-info into the checkout.
        configuration = Path(work, "extra.cfg")
        configuration.write_text(f"[build]\nbuild_base = {work}/build\n[egg_info]\negg_base = {work}\n")
        environment = dict(
            os.environ,
            DIST_EXTRA_CONFIG=str(configuration),
            SOURCE_DATE_EPOCH=os.environ.get("SOURCE_DATE_EPOCH") or _commit_time(),
        )
        os.umask(0o022)  # the permissions are in the wheel
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, "--wheel-dir", work, str(ROOT)], env=environment, check=True)
        built = next(Path(work).glob("*.whl"))
        folder.mkdir(parents=True, exist_ok=True)
        wheel = folder / built.name
        wheel.write_bytes(built.read_bytes())
    return wheel


def _commit_time() -> str:
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip() or _NO_COMMIT
    except (OSError, subprocess.CalledProcessError):
        return _NO_COMMIT


if __name__ == "__main__":
    try:
        wheel = build_wheel(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # pip has said why
    sys.stdout.write(f"{wheel}: {wheel.stat().st_size / 1e6:.1f} MB\n")
