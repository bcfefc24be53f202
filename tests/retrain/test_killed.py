"""SIGKILL at any moment, then the same command: it ends in the same bundle, with nothing broken."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from legoclf.bundle import Bundle
from legoclf.convert.frozen import FrozenGraph


class Run:
    """`legoclf retrain` in a process group of its own, with all outputs below one folder."""

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
        self.command = [sys.executable, "-m", "legoclf", "retrain", "--random_brightness=20"]
        self.command += [f"--{flag}={place}" for flag, place in places.items()]
        self.environment = {**os.environ, "LEGOCLF_CACHE_DIR": str(cache), "SOURCE_DATE_EPOCH": "1600000000"}

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def finish(self) -> float:
        """Run to the end; seconds."""
        start = time.monotonic()
        process = self.start()
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
        return time.monotonic() - start

    def kill_after(self, seconds: float) -> None:
        process = self.start()
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

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


def survives(photos: Path, module: Path, tmp_path: Path, moments: int, seed: int) -> None:
    """Kill at random moments of a run, sometimes with the conversion still to do; then run to the end."""
    draw = random.Random(seed)
    undisturbed = Run(photos, module, tmp_path / "cache", tmp_path / "undisturbed")
    cold = undisturbed.finish()
    expected = undisturbed.results()
    accuracy = Bundle.open(str(undisturbed.out / "colours.bundle")).metrics["final_test_accuracy_percent"]
    for number in range(moments):
        fresh = number % 2 == 0
        cache = tmp_path / f"cache{number}" if fresh else tmp_path / "cache"
        run = Run(photos, module, cache, tmp_path / f"killed{number}")
        run.kill_after(draw.uniform(0, cold))
        run.finish()
        assert run.results() == expected
        bundle = Bundle.open(str(run.out / "colours.bundle"))
        assert bundle.metrics["final_test_accuracy_percent"] == accuracy
        FrozenGraph(str(run.out / "graph.pb"))
        for shard in (run.out / "bottleneck").rglob("*.npy"):
            assert len(np.load(shard, allow_pickle=False))
        assert not list(run.out.rglob(".*")), "leftovers of the killed run"


def test_a_run_killed_at_two_moments_ends_as_one_that_was_not(
    photos: Path, module: Path, tmp_path: Path
) -> None:
    survives(photos, module, tmp_path, moments=2, seed=1)


@pytest.mark.slow
def test_a_run_killed_at_twenty_moments_ends_as_one_that_was_not(
    photos: Path, module: Path, tmp_path: Path
) -> None:
    survives(photos, module, tmp_path, moments=20, seed=0)
