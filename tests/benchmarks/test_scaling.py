"""The scaling benchmark: each image is extracted, a peak is the run's own, and nothing is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from legoclf.benchmarks.scaling import make_network, measure
from legoclf.benchmarks.scaling_images import CLASSES, PICTURES, write_images
from legoclf.benchmarks.scaling_runs import read_stages, run_measured
from legoclf.cli import main
from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import LegoclfError
from legoclf.image import read_image

#: As `legoclf retrain` writes them, with a line of progress among them.
STANDARD_ERROR = """\
reading headers: 100000 images in 8.1 s
extracting features: 52233 of 100000 images (3482/s, 14 s left)
extracting features: 100000 images in 27.3 s
20 classes, 100000 images: 80213 train, 9933 validation, 9854 test
head: lbfgs, L2 3e-05, chosen on validation
training the head: 946 iterations in 370.4 s
"""

#: Runs until it is interrupted; tells its temporary folder and the process id of what it runs in a file.
INTERRUPTED = """
import os, sys, tempfile
from legoclf.benchmarks.scaling_runs import run_measured
told = sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    script = f"echo {folder} $$ > {told}.new; mv {told}.new {told}; exec sleep 60"
    run_measured(["sh", "-c", script], os.environ)
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_every_image_has_bytes_of_its_own_although_pictures_repeat(tmp_path: Path) -> None:
    write_images(tmp_path, PICTURES + 3, 32)
    files = sorted(tmp_path.rglob("*.jpg"))
    assert len({path.read_bytes() for path in files}) == len(files) == PICTURES + 3
    assert len(list(tmp_path.iterdir())) == CLASSES
    first, second = (read_image(str(path)) for path in files if int(path.stem) % PICTURES == 1)
    assert first.shape == (32, 32, 3)
    assert np.array_equal(first, second)


def test_the_network_gives_the_means_of_squares_of_pixels(tmp_path: Path) -> None:
    make_network(tmp_path / "made")
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    features = import_tensorflow().saved_model.load(str(tmp_path / "made"))(images).numpy()
    expected = images.reshape(2, 4, 8, 4, 8, 3).mean(axis=(2, 4)).reshape(2, 48)
    # Sums of 64 numbers in float32, in another order.
    assert features == pytest.approx(expected, abs=1e-6)


def test_the_peak_is_that_of_the_run_and_not_of_this_process() -> None:
    """A bare Python has some 10 MiB, and 200 MiB more when it fills so much; this process has 300 more."""
    own = np.ones(300 << 17)
    small = run_measured(python("pass"), os.environ)
    large = run_measured(python("x = bytearray(b'x') * (200 << 20)"), os.environ)
    assert own.nbytes == 300 << 20
    assert small.peak_mb < 100
    assert 200 <= large.peak_mb < 300


def test_the_time_of_a_run_is_its_own() -> None:
    """The rest is Python's start, which a machine under load can draw out."""
    assert run_measured(python("import time; time.sleep(0.3)"), os.environ).seconds >= 0.3


def test_a_run_that_fails_is_told_by_its_last_words() -> None:
    program = "import sys; print('legoclf: error: no such module', file=sys.stderr); sys.exit(1)"
    with pytest.raises(LegoclfError, match="^`legoclf retrain` failed: no such module$"):
        run_measured(python(program), os.environ)


def test_stages_are_read_from_what_retrain_says() -> None:
    assert read_stages(STANDARD_ERROR) == {
        "reading headers": 8.1,
        "extracting features": 27.3,
        "training the head": 370.4,
    }


def test_an_interrupt_ends_the_run_and_removes_its_files(tmp_path: Path) -> None:
    told = tmp_path / "told"
    process = subprocess.Popen(
        [*python(INTERRUPTED), str(told)],
        stderr=subprocess.DEVNULL,
        # A shell's background job ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 30
    while not told.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    folder, run = told.read_text().split()
    assert Path(folder).is_dir()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    assert not Path(folder).exists()
    while _is_running(int(run)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_running(int(run))


def _is_running(process: int) -> bool:
    """Whether there is such a process that is no zombie, whose parent has not looked at its end yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_too_small_a_disk_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    with pytest.raises(LegoclfError, match=r"100000 images .* take 1\.4 GB.* has 1\.0 GB free"):
        measure([1000, 100_000], 96, 1)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--images", "1000,200"], "expected rising numbers of 20 or more"),
        (["--images", "10"], "expected rising numbers of 20 or more"),
        (["--size", "8"], "--size: got 8, expected 32 to 1024 pixels"),
        (["--rounds", "0"], "--rounds: got 0, expected 1 or more"),
    ],
)
def test_wrong_flags_are_refused(flags: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "scaling", *flags]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_retrain_is_measured_cold_and_warm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert main(["benchmark", "scaling", "--images", "30,60", "--short", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    series = {one["name"]: one for one in record["series"]}
    for what in ("time an image", "peak memory"):
        for name in (f"{what}, {count} images, {kind}" for count in (30, 60) for kind in ("cold", "warm")):
            assert [len(turn) for turn in series.pop(name)["turns"]] == [1]
    assert not series
    assert {ratio["better"] for ratio in record["ratios"]} == {"lower"}
    assert any(note.startswith("the last cold run of 60 images: ") for note in record["facts"]["notes"])
    assert not list(tmp_path.glob("legoclf-scaling-*"))
