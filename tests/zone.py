"""Run the tests of the 3.6 zone on a real Python 3.6, with NumPy 1.13.3 and OpenCV 4.1.1 as in JetPack 4.6.

Looks for python3.6 on the PATH and under pyenv; where there is none it says so and is content. The venv is
.venv36 in the checkout; legoclf is installed into it from a wheel, as on a Jetson.
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv36"

REQUIREMENTS = ROOT / "tests" / "zone-requirements.txt"
TESTS = ("tests/legoclf", "tests/jetson")


def find_python36() -> str | None:
    """A python3.6 that starts: a pyenv shim may stand on the PATH for a version that is not active."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    candidates = [
        shutil.which("python3.6"),
        *sorted(glob.glob(os.path.join(pyenv, "versions/3.6.*/bin/python3.6"))),
    ]
    for candidate in filter(None, candidates):
        program = "import sys; sys.exit(sys.version_info[:2] != (3, 6))"
        done = subprocess.run([candidate, "-c", program], check=False, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            return candidate
    return None


def main() -> int:
    """Set the venv up where it is missing, install the wheel, run the tests; pytest's exit code."""
    python = find_python36()
    if python is None:
        sys.stderr.write("zone: skipped, no Python 3.6 on the PATH or under pyenv\n")
        return 0
    bin36 = VENV / "bin"
    if not (bin36 / "pytest").exists():
        shutil.rmtree(VENV, ignore_errors=True)
        subprocess.run([python, "-m", "venv", VENV], check=True)
        subprocess.run([bin36 / "pip", "install", "--quiet", "--requirement", REQUIREMENTS], check=True)
    with tempfile.TemporaryDirectory() as folder:
        # What an earlier build left would ship, modules that are gone among it.
        shutil.rmtree(ROOT / "build", ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, "."]
        subprocess.run(pip, cwd=ROOT, check=True)
        wheel = next(Path(folder).glob("*.whl"))
        install = ["install", "--quiet", "--no-deps", "--no-compile", "--upgrade", "--force-reinstall", wheel]
        subprocess.run([bin36 / "pip", *install], check=True)
    tests = [name for name in TESTS if (ROOT / name).is_dir()]
    return subprocess.run([bin36 / "pytest", *tests], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
