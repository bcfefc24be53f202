"""Benchmark results as tests need them: turns around a middle, by a fixed seed, under set conditions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from legoclf.benchmarks.device.result import Ratio, Result, Series

HEADER: dict[str, Any] = {
    "device": "a desk computer",
    "jetpack": None,
    "cores": 2,
    "python": "3.11.7",
    "versions": {"legoclf": "0.1.0", "numpy": "2.4.6"},
    "clocks": {"governor": "performance", "cpu_max_mhz": 3000.0, "cpu_mhz": 2999.0},
    "power_mode": None,
    "date": "2026-11-25T01:40:51Z",
    "command": "legoclf benchmark lego.bundle",
    "unsteady": [],
}


def turns(middle: float, seed: int = 0, count: int = 10, spread: float = 0.02) -> list[list[float]]:
    """Turns of five samples around a middle; the turns differ as much as the samples within one."""
    random = np.random.RandomState(seed)
    shifts = random.normal(0, spread, (count, 1)) + random.normal(0, spread, (count, 5))
    return [[float(value) for value in turn] for turn in middle * np.exp(shifts)]


def result(
    series: Sequence[Series],
    ratios: Sequence[Ratio] = (),
    kind: str = "inference",
    facts: dict[str, Any] | None = None,
    **header: Any,
) -> Result:
    """A result of some series, under the conditions of HEADER but for those named."""
    return Result(kind, {**HEADER, **header}, list(series), list(ratios), facts or {})


def inference(
    networks: Sequence[str] = ("onnxruntime fp32", "onnxruntime fp16"),
    batches: Sequence[int] = (1, 4),
    with_accuracy: bool = True,
    **header: Any,
) -> Result:
    """A result of `legoclf benchmark` as its names have it, with a roofline in its facts."""
    series, roofline = [], {}
    for place, network in enumerate(networks):
        for batch in batches:
            name = f"{network}, batch {batch}"
            whole = 5.0 * (place + 1) * batch
            series += [
                Series(f"preprocess, {name}", "ms", turns(whole * 0.1, 1)),
                Series(f"compute, {name}", "ms", turns(whole * 0.9, 2)),
                Series(f"whole, {name}", "ms", turns(whole, 3)),
                Series(f"throughput, {name}", "1/s", turns(1000 * batch / whole, 4)),
            ]
            roofline[name] = {
                "precision": network.split()[-1],
                "batch": batch,
                "peak_gflops": 200.0,
                "bandwidth_gb_s": 20.0,
                "flops": 6e8 * batch,
                "intensity": 60.0,
                "bound_ms": 3.0 * batch,
            }
        if with_accuracy:
            series.append(Series(f"accuracy, {network}", "right", [[1.0] * 90 + [0.0] * 10]))
    first, last = (f"whole, {network}, batch {batches[0]}" for network in (networks[0], networks[-1]))
    ratios = [] if first == last else [Ratio("time, last over first", last, first, "lower")]
    return result(series, ratios, facts={"roofline": roofline, "notes": ["a note"]}, **header)
