"""Run the tests of the 3.6 zone on a real Python 3.6, with an old and a new NumPy.

Looks for python3.6 on the PATH and under pyenv; where there is none it says so and is content. legoclf is
installed from a wheel, as on a Jetson, into two venvs in the checkout:

* .venv36: NumPy 1.13.3 and OpenCV 4.1.1 as JetPack 4.6 has them, and the pip that came with that Python
* .venv36new: the newest NumPy for 3.6, and ONNX Runtime, which the fake TensorRT runs its engines in

The first runs all tests. The second runs those that the first skipped: the others have run with the oldest
NumPy then, and `make test` goes on with them on the newest of all. With --all it runs all of them as well.
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

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
    """Set the venvs up where they are missing, install the wheel, run the tests; 0 if all pass, else 1."""
    python = find_python36()
    if python is None:
        sys.stderr.write("zone: skipped, no Python 3.6 on the PATH or under pyenv\n")
        return 0
    for name, (requirements, pip) in VENVS.items():
        make_venv(python, ROOT / name, requirements, pip)
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for name in VENVS:
            flags = ["--no-deps", "--upgrade", "--force-reinstall"]
            subprocess.run([ROOT / name / "bin/python", *PIP_INSTALL, *flags, wheel], check=True)
        results = Path(folder) / "results.xml"
        jetpack, newest = VENVS
        codes = [run_tests(jetpack, test_files(), results)]
        rest = test_files() if "--all" in sys.argv[1:] else left_out(results)
        codes.append(run_tests(newest, rest, results))
    # Not the largest code: that of a process that was killed is below 0.
    return int(any(codes))


def test_files() -> list[str]:
    """The files of tests, relative to the checkout."""
    found = (path for folder in TESTS for path in (ROOT / folder).rglob("test_*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found)


def left_out(results: Path) -> list[str]:
    """The tests that a run skipped, and the files of which it ran none."""
    skipped: dict[str, list[str]] = {}
    for case in ElementTree.parse(results).iter("testcase"):
        file, name = case.get("file", ""), case.get("name", "")
        if not case.get("classname"):  # a file that was skipped as a whole
            continue
        skipped.setdefault(file, [])
        if case.find("skipped") is not None:
            skipped[file].append(f"{file}::{name}")
    return [name for file in test_files() for name in skipped.get(file, [file])]


def run_tests(venv: str, tests: list[str], results: Path) -> int:
    """Run tests in a venv, and have the result of each written; pytest's exit code."""
    sys.stdout.write(f"zone: {venv}\n")
    sys.stdout.flush()
    # Twice as many as there are cores at least: much of a test is waiting.
    workers = ["-n", str(max(4, os.cpu_count() or 1)), "--dist", "loadfile"]
    report = ["-o", "junit_family=xunit1", f"--junitxml={results}"]  # xunit1 names the file
    command = [ROOT / venv / "bin/pytest", "-m", "not slow and not gpu", *workers, *report, *tests]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
