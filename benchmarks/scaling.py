"""Time and peak memory of `legoclf retrain` by the number of images: the command itself, as a process.

Each number of images is run twice: cold, when all features are to be extracted, and warm, when they are kept.
By default the network is a small one made for the run, so that legoclf's own cost shows: reading, decoding,
the cache, the head, the bundle.
"""

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.benchmarks.process import places_of_retrain
from legoclf.benchmarks.scaling_images import needed_bytes, write_images
from legoclf.benchmarks.scaling_runs import Run, run_measured
from legoclf.errors import LegoclfError

#: The network made for the run.
MADE = "made"

#: The embedded network, by the name that :func:`measure` takes.
EMBEDDED = "embedded"

COLD, WARM = KINDS = ("cold", "warm")

#: Runs of a number of images in a round: the smaller ones are the noisier and the cheaper.
_REPEATS = ((1_000, 3), (10_000, 2))

# TensorFlow stays out of this process, and its import out of the runs' first.
_PREPARE = "from legoclf.benchmarks.scaling import prepare; import sys; prepare(*sys.argv[1:])"


def measure(
    counts: Sequence[int], size: int, rounds: int, module: str = MADE, *, repeat: bool = True
) -> Measured:
    """Run every number of images, cold and then warm, in each of ``rounds`` rounds.

    All files lie in one temporary folder, which is removed however this ends.

    Args:
        counts: numbers of images, rising.
        size: side of the images in pixels.
        module: ``made``, ``embedded``, or what `legoclf retrain --tfhub_module` takes.
        repeat: run the smaller numbers more than once in a round.

    Raises:
        LegoclfError: there is not the disk space, or a run fails.
    """
    with tempfile.TemporaryDirectory(prefix="legoclf-scaling-") as folder:
        scratch = Path(folder)
        _check_disk(scratch, counts[-1])
        environment, flags = _prepared(scratch, module)
        runs: dict[tuple[int, str], list[list[Run]]] = {
            (count, kind): [[] for _ in range(rounds)] for count in counts for kind in KINDS
        }
        for turn in range(rounds):
            for count in counts:
                times = next((times for most, times in _REPEATS if repeat and count <= most), 1)
                for cold, warm in _run_count(scratch, count, size, times, environment, flags):
                    runs[count, COLD][turn].append(cold)
                    runs[count, WARM][turn].append(warm)
    facts = {
        "images": list(counts),
        "size": size,
        "network": module,
        "notes": [_what(module, size), *_notes(counts, runs)],
    }
    return Measured(_series(runs), _ratios(counts), facts)


def prepare(handle: str, cache_dir: str) -> None:
    """Convert a network, so that no run has it to do; ``made`` in a name is made first.

    Args:
        handle: empty for the embedded network.
    """
    from legoclf.retrain.feature_vector import load_feature_vector

    if Path(handle).name == MADE:
        make_network(Path(handle))
    load_feature_vector(handle or None, cache_dir=Path(cache_dir))


def make_network(folder: Path) -> None:
    """A SavedModel that takes 32x32 images and gives 48 features: the means of squares of 8x8 pixels."""
    from legoclf.convert.frozen import import_tensorflow

    tf = import_tensorflow()

    class Network(tf.Module):  # type: ignore[name-defined]
        @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32)])
        def __call__(self, inputs: Any) -> Any:
            return tf.reshape(tf.nn.avg_pool2d(inputs, 8, 8, "VALID"), [-1, 48])

    tf.saved_model.save(Network(), str(folder))


def _prepared(scratch: Path, module: str) -> tuple[dict[str, str], list[str]]:
    """The environment and the flags of the runs; the network stands converted in the cache of that
    environment.
    """
    from legoclf.user_cache import default_cache_dir

    environment = dict(os.environ, PYTHONSAFEPATH="1", TF_CPP_MIN_LOG_LEVEL="2")
    handle = "" if module == EMBEDDED else module
    if module == MADE:
        environment["LEGOCLF_CACHE_DIR"] = str(scratch / "cache")
        handle = str(scratch / MADE)
    cache_dir = environment.get("LEGOCLF_CACHE_DIR", default_cache_dir())
    run_measured([sys.executable, "-c", _PREPARE, handle, cache_dir], environment)
    return environment, ["--tfhub_module", handle] if handle else []


def _run_count(
    scratch: Path, count: int, size: int, times: int, environment: Mapping[str, str], flags: Sequence[str]
) -> list[tuple[Run, Run]]:
    """Cold and warm runs of one number of images, so many times; its files are removed."""
    images, features = scratch / "images", scratch / "features"
    write_images(images, count, size)
    call = [sys.executable, "-m", "legoclf", "retrain", f"--image_dir={images}", *flags]
    call += [
        *places_of_retrain(scratch),
        f"--bundle={scratch / 'made.bundle'}",
        f"--bottleneck_dir={features}",
    ]
    pairs = []
    try:
        for _ in range(times):
            shutil.rmtree(features, ignore_errors=True)
            pairs.append((run_measured(call, environment), run_measured(call, environment)))
    finally:
        shutil.rmtree(images)
        shutil.rmtree(features, ignore_errors=True)
    return pairs


def _check_disk(scratch: Path, count: int) -> None:
    needed, free = needed_bytes(count), shutil.disk_usage(scratch).free
    if needed > free:
        raise LegoclfError(
            f"{count} images and their features take {needed / 1e9:.1f} GB, and {scratch.parent} has "
            f"{free / 1e9:.1f} GB free: give fewer --images, or name another disk by TMPDIR"
        )


def _name(what: str, count: int, kind: str) -> str:
    return f"{what}, {count} images, {kind}"


def _series(runs: Mapping[tuple[int, str], list[list[Run]]]) -> list[Series]:
    cost = [
        Series(
            _name("time an image", count, kind),
            "ms",
            [[1000 * run.seconds / count for run in turn] for turn in turns],
        )
        for (count, kind), turns in runs.items()
    ]
    peak = [
        Series(_name("peak memory", count, kind), "MB", [[run.peak_mb for run in turn] for turn in turns])
        for (count, kind), turns in runs.items()
    ]
    return cost + peak


def _ratios(counts: Sequence[int]) -> list[Ratio]:
    """Each number of images against the one before it, and warm against cold."""
    ratios = [
        Ratio(
            f"{what}, {more} images of {fewer}, {kind}",
            _name(what, more, kind),
            _name(what, fewer, kind),
            "lower",
        )
        for what in ("time an image", "peak memory")
        for fewer, more in pairwise(counts)
        for kind in KINDS
    ]
    name = "time an image"
    warm = [
        Ratio(
            f"{name}, {count} images, warm of cold",
            _name(name, count, WARM),
            _name(name, count, COLD),
            "lower",
        )
        for count in counts
    ]
    return ratios + warm


def _what(module: str, size: int) -> str:
    network = "a network of next to no cost" if module == MADE else f"the network {module}"
    return (
        f"JPEGs of {size}x{size}, {network}; the time of a whole run over its images: "
        "the start and the bundle, which take as long for one image, weigh most on the smallest number"
    )


def _notes(counts: Sequence[int], runs: Mapping[tuple[int, str], list[list[Run]]]) -> list[str]:
    def middle(count: int, kind: str, what: str) -> float:
        return statistics.median(getattr(run, what) for turn in runs[count, kind] for run in turn)

    notes = []
    for kind in KINDS:
        for fewer, more in pairwise(counts):
            seconds = (middle(more, kind, "seconds") - middle(fewer, kind, "seconds")) / (more - fewer)
            grown = (middle(more, kind, "peak_mb") - middle(fewer, kind, "peak_mb")) / (more - fewer)
            cost = f"{1000 * seconds:.3g} ms" if seconds > 0 else "no time that stands out of the noise"
            notes.append(
                f"{kind}, each image more from {fewer} to {more}: {cost}, peak memory {1024 * grown:+.3g} KiB"
            )
    last = runs[counts[-1], COLD][-1][-1]
    if last.stages:
        told = [f"{stage} {seconds:.1f} s" for stage, seconds in last.stages.items()]
        told.append(f"all else {last.seconds - sum(last.stages.values()):.1f} s")
        notes.append(f"the last cold run of {counts[-1]} images: {', '.join(told)}")
    return notes
