"""Killed and started again with the same command: it ends in the same bundle, with nothing broken."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from legoclf.bundle import Bundle
from legoclf.cli import main
from legoclf.convert.frozen import FrozenGraph


class Run:
    """`legoclf retrain` with all outputs below one folder."""

    def __init__(self, photos: Path, module: Path, cache: Path, out: Path) -> None:
        places = {
            "image_dir": photos,
            "tfhub_module": module,
            "bundle": out / "colours.bundle",
            "bottleneck_dir": out / "bottleneck",
            "summaries_dir": out / "logs",
            "output_graph": out / "graph.pb",
            "output_labels": out / "labels.txt",
            "checkpoint_path": out / "checkpoint",
        }
        self.out = out
        self.words = ["retrain", "--random_brightness=20"]
        self.words += [f"--{flag}={place}" for flag, place in places.items()]
        self.environment = {"LEGOCLF_CACHE_DIR": str(cache), "SOURCE_DATE_EPOCH": "1600000000"}

    def finish(self) -> None:
        """Run to the end, in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            assert main(self.words) == 0

    def start(self) -> subprocess.Popen[bytes]:
        """In a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "legoclf", *self.words],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def timed(self) -> float:
        """Run to the end in a process; seconds."""
        start = time.monotonic()
        process = self.start()
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said.decode()
        return time.monotonic() - start

    def kill_after(self, seconds: float) -> None:
        process = self.start()
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def kill_when(self, has_come: Callable[[Path], bool]) -> None:
        """Kill it once its folder shows that a stage has come."""
        process = self.start()
        while not has_come(self.out):
            assert process.poll() is None, "it ended before"
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    def results(self) -> dict[str, str]:
        """Hashes of the bundle's files and of the copies, where they are the same in any run."""
        kept = [path for path in sorted(self.out.rglob("*")) if path.is_file()]
        found = {str(path.relative_to(self.out)): path for path in kept}
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in found.items()
            # Records of the command and its time; how rows were cut into shards tells where it was killed.
            if not name.startswith(("logs/", "bottleneck/")) and not name.endswith(("model.json", ".html"))
        }


def assert_ends_like(run: Run, undisturbed: Run) -> None:
    """The run, started again, ends in the same results with nothing left of the one that was killed."""
    run.finish()
    assert run.results() == undisturbed.results()
    accuracies = [
        Bundle.open(str(each.out / "colours.bundle")).metrics["final_test_accuracy_percent"]
        for each in (run, undisturbed)
    ]
    assert accuracies[0] == accuracies[1]
    FrozenGraph(str(run.out / "graph.pb"))
    for shard in (run.out / "bottleneck").rglob("*.npy"):
        assert len(np.load(shard, allow_pickle=False))
    assert not list(run.out.rglob(".*")), "leftovers of the killed run"


#: What shows that features are kept, and that the bundle is written.
STAGES: dict[str, Callable[[Path], bool]] = {
    "features": lambda out: any(path.is_file() for path in (out / "bottleneck").rglob("*")),
    "bundle": lambda out: any(out.glob(".colours.bundle.*")),
}


def test_a_run_killed_at_two_stages_ends_as_one_that_was_not(
    photos: Path, module: Path, cache: Path, tmp_path: Path
) -> None:
    undisturbed = Run(photos, module, cache, tmp_path / "undisturbed")
    undisturbed.finish()
    for name, has_come in STAGES.items():
        run = Run(photos, module, cache, tmp_path / name)
        run.kill_when(has_come)
        assert_ends_like(run, undisturbed)


@pytest.mark.slow
def test_a_run_killed_at_twenty_moments_ends_as_one_that_was_not(
    photos: Path, module: Path, tmp_path: Path
) -> None:
    """At random ones, half of them with the conversion of the module still to do."""
    draw = random.Random(0)
    undisturbed = Run(photos, module, tmp_path / "cache", tmp_path / "undisturbed")
    cold = undisturbed.timed()
    for number in range(20):
        fresh = number % 2 == 0
        cache = tmp_path / f"cache{number}" if fresh else tmp_path / "cache"
        run = Run(photos, module, cache, tmp_path / f"killed{number}")
        run.kill_after(draw.uniform(0, cold))
        assert_ends_like(run, undisturbed)
