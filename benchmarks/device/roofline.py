"""The least time that a graph can take on a machine of a known peak. Python 3.6.

S. Williams, A. Waterman, D. Patterson, Roofline: an insightful visual performance model for multicore
architectures, Communications of the ACM 52 (2009): work takes at least its FLOPs over the peak rate, and at
least its bytes over the memory's rate. For the whole graph with the least bytes that is a bound that no
runtime passes. Layer by layer it is what a runtime could reach that keeps nothing on the chip between layers;
where the cache holds what lies between them, a runtime may be faster than that.
"""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from legoclf.benchmarks.device.onnx_cost import Cost, Layer, read_cost

COMPUTE, MEMORY = "compute", "memory"


class Roofline(NamedTuple):
    """A graph on a machine; all times are of one run on ``batch`` images.

    peak_gflops, bandwidth_gb_s: of the machine, at that precision.
    multiply_adds, flops, least_bytes, layer_bytes: as onnx_cost counts them.
    layers_ms: the sum of the layers' bounds. unknown: operators whose FLOPs are not in the count.
    """

    precision: str
    batch: int
    peak_gflops: float
    bandwidth_gb_s: float
    multiply_adds: int
    flops: int
    least_bytes: int
    layer_bytes: int
    layers_ms: float
    unknown: List[str]

    @property
    def bound_ms(self) -> float:
        """The least time of the whole graph."""
        return max(self._sides_ms)

    @property
    def binds(self) -> str:
        """What makes it the least: "compute" or "memory"."""
        compute_ms, memory_ms = self._sides_ms
        return COMPUTE if compute_ms >= memory_ms else MEMORY

    @property
    def intensity(self) -> float:
        """FLOPs for each of the least bytes."""
        return self.flops / float(self.least_bytes)

    @property
    def ridge(self) -> float:
        """The intensity from which on the machine's compute binds."""
        return self.peak_gflops / self.bandwidth_gb_s

    def share(self, latency_ms: float) -> float:
        """How much of the roofline a run of that latency reached: the bound over it."""
        return self.bound_ms / latency_ms

    def layers_share(self, latency_ms: float) -> float:
        """The same against the sum of the layers' bounds; above 1 where the cache spared the memory."""
        return self.layers_ms / latency_ms

    def as_json(self) -> Dict[str, Any]:
        """All of it, for a result's facts."""
        derived = {name: getattr(self, name) for name in ("bound_ms", "binds", "intensity", "ridge")}
        return dict(self._asdict(), **derived)

    def lines(self) -> List[str]:
        """For people."""
        found = [
            "{:.1f} M multiply-adds, {:.3f} GFLOP; {:.2f} MB at least, {:.1f} MB layer by layer "
            "({}, batch {})".format(
                self.multiply_adds / 1e6,
                self.flops / 1e9,
                self.least_bytes / 1e6,
                self.layer_bytes / 1e6,
                self.precision,
                self.batch,
            ),
            "at {:.0f} GFLOP/s and {:.1f} GB/s: {:.3f} ms at least, {} binds "
            "({:.0f} FLOP/byte, from {:.0f} on compute); {:.3f} ms layer by layer".format(
                self.peak_gflops,
                self.bandwidth_gb_s,
                self.bound_ms,
                self.binds,
                self.intensity,
                self.ridge,
                self.layers_ms,
            ),
        ]
        if self.unknown:
            found.append("not counted, of unknown operators: the FLOPs of " + ", ".join(self.unknown))
        return found

    @property
    def _sides_ms(self) -> Tuple[float, float]:
        return _sides_ms(self.flops, self.least_bytes, self.peak_gflops, self.bandwidth_gb_s)


class LayerBound(NamedTuple):
    """One layer's least time and what binds it."""

    layer: Layer
    ms: float
    binds: str


def roofline_of(
    onnx_path: str, precision: str, batch: int, peak_gflops: float, bandwidth_gb_s: float
) -> Roofline:
    """The roofline of an ONNX file.

    Args:
        precision: "fp32", "fp16" or "int8": of weights and activations; the file need not be stored in it.
        batch: images at once.
        peak_gflops: FLOPs a nanosecond at that precision. bandwidth_gb_s: bytes a nanosecond.

    Raises:
        LegoclfError: the file is no ONNX, or its shapes cannot be told; the text says why.
    """
    return roofline(read_cost(onnx_path, precision, batch), peak_gflops, bandwidth_gb_s)


def roofline(cost: Cost, peak_gflops: float, bandwidth_gb_s: float) -> Roofline:
    """The roofline of a cost that was counted."""
    bounds = layer_bounds(cost.layers, peak_gflops, bandwidth_gb_s)
    return Roofline(
        cost.precision,
        cost.batch,
        peak_gflops,
        bandwidth_gb_s,
        cost.multiply_adds,
        cost.flops,
        cost.least_bytes,
        cost.layer_bytes,
        sum(bound.ms for bound in bounds),
        cost.unknown,
    )


def layer_bounds(layers: Sequence[Layer], peak_gflops: float, bandwidth_gb_s: float) -> List[LayerBound]:
    """The bound of each layer, in the order given."""
    found = []
    for layer in layers:
        compute_ms, memory_ms = _sides_ms(layer.flops, layer.bytes, peak_gflops, bandwidth_gb_s)
        binds = COMPUTE if compute_ms >= memory_ms else MEMORY
        found.append(LayerBound(layer, max(compute_ms, memory_ms), binds))
    return found


def _sides_ms(flops: int, moved_bytes: int, peak_gflops: float, bandwidth_gb_s: float) -> Tuple[float, float]:
    # A GFLOP/s is a million FLOPs a millisecond.
    return flops / (peak_gflops * 1e6), moved_bytes / (bandwidth_gb_s * 1e6)
