"""Run the tests of the 3.6 zone on a real Python 3.6, with an old and a new NumPy.

Looks for python3.6 on the PATH and under pyenv; where there is none it says so and is content. legoclf is
installed from a wheel, as on a Jetson, into two venvs in the checkout:

* .venv36: NumPy 1.13.3 and OpenCV 4.1.1 as JetPack 4.6 has them, and the pip that came with that Python
* .venv36new: the newest NumPy for 3.6, and ONNX Runtime, which the fake TensorRT runs its engines in
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each venv, what it is made from, and the pip that it needs for that: 3.6's own knows no wheel newer than
# manylinux2010.
VENVS = {
    ".venv36": (ROOT / "tests" / "zone-requirements.txt", None),
    ".venv36new": (ROOT / "tests" / "zone-requirements-new.txt", "pip==21.3.1"),
}
PIP_INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
TESTS = ("tests/legoclf", "tests/jetson", "tests/convert/engine", "tests/benchmarks/device")


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


def make_venv(python: str, venv: Path, requirements: Path, pip: str | None) -> None:
    """Set a venv up where it is missing, or where it was made from other requirements."""
    made_from = venv / "requirements.txt"
    if made_from.exists() and made_from.read_text() == requirements.read_text():
        return
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([python, "-m", "venv", venv], check=True)
    if pip is not None:
        subprocess.run([venv / "bin/python", *PIP_INSTALL, pip], check=True)
    subprocess.run([venv / "bin/python", *PIP_INSTALL, "--requirement", requirements], check=True)
    shutil.copyfile(requirements, made_from)


def build_wheel(folder: Path) -> Path:
    """A wheel of the checkout, as `make wheel` builds it."""
    subprocess.run([sys.executable, ROOT / "deploy/build_wheel.py", folder], check=True)
    return next(folder.glob("*.whl"))


def main() -> int:
    """Set the venvs up where they are missing, install the wheel, run the tests; pytest's exit code."""
    python = find_python36()
    if python is None:
        sys.stderr.write("zone: skipped, no Python 3.6 on the PATH or under pyenv\n")
        return 0
    for name, (requirements, pip) in VENVS.items():
        make_venv(python, ROOT / name, requirements, pip)
    tests = [name for name in TESTS if (ROOT / name).is_dir()]
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for name in VENVS:
            flags = ["--no-deps", "--no-compile", "--upgrade", "--force-reinstall"]
            subprocess.run([ROOT / name / "bin/python", *PIP_INSTALL, *flags, wheel], check=True)
    with ThreadPoolExecutor() as pool:  # side by side: much of a test is waiting
        runs = {name: pool.submit(run_tests, ROOT / name / "bin/pytest", tests) for name in VENVS}
        for name, run in runs.items():
            sys.stdout.write(f"zone: {name}\n{run.result().stdout}")
    # Not the largest code: that of a process that was killed is below 0.
    return int(any(run.result().returncode for run in runs.values()))


def run_tests(pytest: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    """What pytest says, both its streams together."""
    return subprocess.run(
        [pytest, "-m", "not slow and not gpu", "-n", "2", "--dist", "loadfile", *tests],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


if __name__ == "__main__":
    sys.exit(main())
