"""What the report shows of inference and of rooflines, taken from the names and the facts of results.

The names are a file format of their own (:mod:`legoclf.benchmarks.device.inference`): "whole, NETWORK, batch
N", a step in the place of "whole", and "accuracy, NETWORK". Facts may say anything: what is not as it should
be is taken for not told.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from legoclf.benchmarks.device.boards import find_board
from legoclf.benchmarks.device.result import Result, Series
from legoclf.benchmarks.device.samples import Estimate, Turns

#: The steps of an inference as series name them, and in words.
STEPS = {
    "preprocess": "preprocess",
    "h2d": "host to device",
    "compute": "compute",
    "d2h": "device to host",
    "postprocess": "postprocess",
}

_WHOLE = re.compile(r"whole, (?P<network>.+), batch (?P<batch>[1-9]\d{0,5})")

_COUNT = re.compile(r"(?P<what>.+), (?P<count>[1-9]\d{0,8}) images, (?P<kind>.+)")

#: What a roofline must tell, each more than 0.
_TOLD = ("batch", "peak_gflops", "bandwidth_gb_s", "flops", "intensity", "bound_ms")

#: The key of the machine's own CPU in the facts of a roofline result.
_HERE = "here"


@dataclass(frozen=True)
class Bound:
    """The least milliseconds of a call of so many images on a machine, and what it follows from."""

    machine: str
    precision: str
    batch: int
    peak_gflops: float
    bandwidth_gb_s: float
    flops: float
    intensity: float
    bound_ms: float


@dataclass(frozen=True)
class Configuration:
    """A network at a batch.

    whole: milliseconds of a call. latency: of an image in it. steps: median milliseconds of an image, by the
    keys of STEPS that were measured. rate: images a second. accuracy, bound: None where there is none.
    """

    network: str
    batch: int
    whole: Turns
    latency: Estimate
    steps: dict[str, float]
    rate: Estimate | None
    accuracy: Estimate | None
    bound: Bound | None

    @property
    def name(self) -> str:
        """As in the names of its series."""
        return f"{self.network}, batch {self.batch}"

    @property
    def share(self) -> float | None:
        """How much of the roofline its compute reached."""
        compute_ms = self.steps.get("compute")
        if self.bound is None or not compute_ms:
            return None
        return self.bound.bound_ms / (compute_ms * self.batch)


@dataclass(frozen=True)
class Reached:
    """What the compute step of a configuration came to, and its share of the roofline."""

    network: str
    intensity: float
    gflops: float
    share: float


@dataclass(frozen=True)
class Roof:
    """The roofline of a machine at one precision: the least of the model, and what was reached below it."""

    bound: Bound
    reached: list[Reached]


def configurations(result: Result, beside: Sequence[Result] = ()) -> list[Configuration]:
    """All of a result, in its order; none of a result of another kind.

    Args:
        beside: results of the same device; a roofline among them gives the bounds where the result has none.
    """
    by_name = {series.name: series for series in result.series}
    found = []
    for series in result.series:
        match = _WHOLE.fullmatch(series.name)
        if match is None or series.unit != "ms":
            continue
        network, batch = match["network"], int(match["batch"])
        name = f"{network}, batch {batch}"
        accuracy, rate = by_name.get(f"accuracy, {network}"), by_name.get(f"throughput, {name}")
        found.append(
            Configuration(
                network=network,
                batch=batch,
                whole=series.turns,
                latency=_divided(series.summary.median, batch),
                steps=_steps(by_name, name, batch),
                rate=rate.summary.median if rate is not None and rate.unit == "1/s" else None,
                accuracy=accuracy.share if accuracy is not None and accuracy.unit == "right" else None,
                bound=_bound(result, beside, name),
            )
        )
    return found


def networks(found: Iterable[Configuration]) -> dict[str, list[Configuration]]:
    """By network, in their order, each by growing batch."""
    grouped: dict[str, list[Configuration]] = {}
    for each in found:
        grouped.setdefault(each.network, []).append(each)
    return {name: sorted(each, key=lambda one: one.batch) for name, each in grouped.items()}


def machine_bounds(result: Result) -> list[Bound]:
    """Those of a roofline result: of the boards, and of the machine's own CPU."""
    records = result.facts.get("rooflines")
    if result.kind != "roofline" or not isinstance(records, dict):
        return []
    device = str(result.header["device"])
    found = [_parsed(device if key == _HERE else key, record) for key, record in records.items()]
    return [each for each in found if each is not None]


def roofs(found: Sequence[Configuration], bounds: Sequence[Bound]) -> list[Roof]:
    """One for each machine and precision: of what was measured, and where nothing was, of ``bounds``."""
    grouped: dict[tuple[str, str, float], Roof] = {}
    for each in found:
        share = each.share
        if each.bound is None or share is None:
            continue
        roof = grouped.setdefault(_machine(each.bound), Roof(each.bound, []))
        gflops = each.bound.flops / (each.steps["compute"] * each.batch) / 1e6
        roof.reached.append(Reached(each.network, each.bound.intensity, gflops, share))
    measured = {(bound.machine, bound.precision) for bound in (roof.bound for roof in grouped.values())}
    for bound in bounds:
        if (bound.machine, bound.precision) not in measured:
            grouped.setdefault(_machine(bound), Roof(bound, []))
    return list(grouped.values())


def by_count(result: Result, unit: str) -> dict[str, list[tuple[int, Estimate]]]:
    """Medians by number of images, of series called "WHAT, N images, KIND"; by the name without the number.

    Names of which there is but one number are left out.
    """
    found: dict[str, list[tuple[int, Estimate]]] = {}
    for series in result.series:
        match = _COUNT.fullmatch(series.name)
        if match is not None and series.unit == unit:
            name = f"{match['what']}, {match['kind']}"
            found.setdefault(name, []).append((int(match["count"]), series.summary.median))
    return {name: points for name, points in found.items() if len(points) > 1}


def board_key(header: Mapping[str, Any]) -> str | None:
    """The board of boards.json that a header is of, None for any other machine."""
    clocks = header["clocks"]
    gpu_mhz_max = clocks.get("gpu_max_mhz") if isinstance(clocks, dict) else None
    board = find_board(str(header["device"]), gpu_mhz_max if is_positive(gpu_mhz_max) else None)
    return None if board is None else board.key


def is_positive(value: Any) -> bool:
    """Whether a fact is a number that a logarithmic axis can show."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _machine(bound: Bound) -> tuple[str, str, float]:
    return bound.machine, bound.precision, bound.peak_gflops


def _steps(by_name: Mapping[str, Series], name: str, batch: int) -> dict[str, float]:
    found = {step: by_name.get(f"{step}, {name}") for step in STEPS}
    return {
        step: series.summary.median.value / batch
        for step, series in found.items()
        if series is not None and series.unit == "ms"
    }


def _bound(result: Result, beside: Sequence[Result], name: str) -> Bound | None:
    """The result's own, else that of a roofline of the same machine, precision and batch."""
    own = result.facts.get("roofline")
    if isinstance(own, dict) and name in own:
        return _parsed(str(result.header["device"]), own[name])
    record = _configuration_record(result, name)
    board = board_key(result.header)
    machine = result.header["device"] if record.get("backend") == "onnxruntime" else board
    for other in beside:
        for bound in machine_bounds(other):
            if (bound.machine, bound.precision) == (machine, record.get("precision")) and bound.batch == (
                record.get("batch")
            ):
                return bound
    return None


def _configuration_record(result: Result, name: str) -> dict[str, Any]:
    records = result.facts.get("configurations")
    for record in records if isinstance(records, list) else []:
        if isinstance(record, dict) and record.get("name") == name:
            return record
    return {}


def _parsed(machine: str, record: Any) -> Bound | None:
    if not isinstance(record, dict) or not all(is_positive(record.get(name)) for name in _TOLD):
        return None
    told = {name: record[name] for name in _TOLD}
    return Bound(machine=machine, precision=str(record.get("precision", "")), **told)


def _divided(estimate: Estimate, by: int) -> Estimate:
    low, high = (None if end is None else end / by for end in (estimate.low, estimate.high))
    return Estimate(estimate.value / by, low, high)
