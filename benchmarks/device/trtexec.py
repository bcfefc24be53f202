"""The `trtexec` commands that match what was measured: one builds the same engine, one times it.

trtexec comes with TensorRT (on a Jetson: /usr/src/tensorrt/bin). What it has when, from its own --help:

* before 8.4 ``--workspace=MiB``, from then on ``--memPoolSize=workspace:MiB`` (8.2.1, 8.4.1), and layers
  that stay FP32: ``--precisionConstraints`` and ``--layerPrecisions``
* from 8.5 several percentiles at once (8.4.1 takes one, 8.5.3 a list); the median is always told
* from 8.6 ``--skipInference`` in place of ``--buildOnly``, and ``--builderOptimizationLevel``,
  ``--versionCompatible``, ``--hardwareCompatibilityLevel``
* from 9 ``--stronglyTyped``; from 11 on every network is, and the flags of precisions are gone (NVIDIA,
  "Migrating trtexec Usage from TensorRT 10.x to 11.x")

It queues one inference while another runs: its "GPU Compute Time" is what stands beside ``compute``, its
"Latency" beside the sum of ``h2d``, ``compute`` and ``d2h``.

TensorRT for RTX has ``tensorrt_rtx`` in its place, whose networks are all strongly typed.
"""

import re
import shlex
from typing import Any, List, NamedTuple, Sequence, Tuple

from legoclf.benchmarks.device.runtimes import Opened
from legoclf.bundle import FP16_MODEL, ONNX_MODEL, Bundle
from legoclf.jetson.engine_store import ENGINES

#: Milliseconds to warm up, and seconds to measure: a GPU's clock takes about that long to rise and settle.
_WARM_UP_MS = 1000
_SECONDS = 10

#: Name of the graphs' input, docs/bundle.md.
_INPUT = "input"

#: Where the engine goes that trtexec builds: not among those of legoclf, which takes none without a sidecar.
_BUILT = "trtexec.engine"


class Release(NamedTuple):
    """A TensorRT: of ``RTX`` or not, and its major and minor version."""

    is_rtx: bool
    version: Tuple[int, int]

    @property
    def is_strongly_typed(self) -> bool:
        """Whether a network's types are always those of its graph."""
        return self.is_rtx or self.version >= (11, 0)

    @property
    def program(self) -> str:
        """What it calls trtexec."""
        return "tensorrt_rtx" if self.is_rtx else "trtexec"


def parse_release(text: str) -> Release:
    """``8.2.1.8`` or ``RTX 1.7.1.116``, as :class:`legoclf.jetson.engine_identity.Machine` has it.

    Raises:
        ValueError: it is neither.
    """
    match = re.match(r"(RTX )?(\d+)\.(\d+)", text)
    if not match:
        raise ValueError("no version of TensorRT: {!r}".format(text))
    return Release(bool(match.group(1)), (int(match.group(2)), int(match.group(3))))


def timing_command(
    engine: str, size: Tuple[int, int], batch: int, release: Release, is_dynamic: bool, uses_graph: bool
) -> str:
    """The command that times an engine as it was timed here.

    Args:
        engine: its file.
        size: height and width of the input.
        is_dynamic: the engine takes any batch of a range; one that does not refuses to be told a shape.
        uses_graph: the session runs it as a CUDA graph.
    """
    words = [release.program, "--loadEngine=" + engine]
    if is_dynamic:
        words.append("--shapes=" + _shape(batch, size))
    words += ["--warmUp={}".format(_WARM_UP_MS), "--duration={}".format(_SECONDS)]
    if uses_graph and not release.is_rtx:
        words.append("--useCudaGraph")
    several = release.is_rtx or release.version >= (8, 5)
    words.append("--percentile=50,90,99" if several else "--percentile=99")
    return _line(words)


def building_command(
    onnx: str, save_to: str, size: Tuple[int, int], wishes: Any, release: Release, is_dynamic: bool
) -> str:
    """The command that builds an engine as `legoclf build-engine` does.

    Args:
        onnx: the graph's file.
        save_to: the engine's file.
        size: height and width of the input.
        wishes: an EngineIdentity, or a :class:`legoclf.convert.engine.build.BuildConfig`.
        is_dynamic: the graph takes any batch.
    """
    words = [release.program, "--onnx=" + onnx, "--saveEngine=" + save_to]
    words += _precision(onnx, wishes, release)
    if is_dynamic:
        names = ("--minShapes", "--optShapes", "--maxShapes")
        words += ["{}={}".format(name, _shape(one, size)) for name, one in zip(names, wishes.batch)]
    if release.is_rtx or release.version >= (8, 4):
        words.append("--memPoolSize=workspace:{}".format(wishes.workspace_mib))
    else:
        words.append("--workspace={}".format(wishes.workspace_mib))
    words += _options(wishes)
    newer = release.is_rtx or release.version >= (8, 6)
    words.append("--skipInference" if newer else "--buildOnly")
    return _line(words)


class Commands(NamedTuple):
    """lines: to be run in the bundle's folder, one after the other. differs: from legoclf's own, or empty."""

    lines: List[str]
    differs: str


def measured_commands(
    opened: Opened, size: Tuple[int, int], batches: Sequence[int], is_dynamic: bool
) -> Commands:
    """What builds the engine that was measured, and what times it at each batch.

    Args:
        opened: of TensorRT.
        size: height and width of the input.
        is_dynamic: the bundle's graphs take any batch.
    """
    identity = opened.engine.identity
    release = parse_release(identity.tensorrt)
    engine = "{}/{}.engine".format(ENGINES, opened.engine.key)
    lines = [building_command(opened.graph, _BUILT, size, identity, release, is_dynamic)]
    lines += [
        timing_command(engine, size, batch, release, is_dynamic, opened.uses_graph)
        for batch in batches
        if opened.takes(batch)
    ]
    return Commands(lines, left_out(identity, release))


def device_commands(bundle: Bundle, release: Release, is_dynamic: bool) -> Commands:
    """What builds and times an FP16 engine of this bundle, as `legoclf build-engine --fp16` would."""
    from legoclf.convert.engine.build import BuildConfig
    from legoclf.convert.engine.command import default_batch
    from legoclf.convert.engine.trials import kept_fp32

    by_flag = not release.is_strongly_typed
    kept = kept_fp32(bundle) if by_flag else ()
    wishes = BuildConfig(precision="fp16", batch=default_batch(bundle), keep_fp32=kept)
    size = (bundle.contract.height, bundle.contract.width)
    graph = ONNX_MODEL if by_flag else FP16_MODEL
    lines = [
        building_command(graph, _BUILT, size, wishes, release, is_dynamic),
        timing_command(_BUILT, size, wishes.batch[1], release, is_dynamic, True),
    ]
    return Commands(lines, left_out(wishes, release))


def left_out(wishes: Any, release: Release) -> str:
    """What trtexec of that release does not do as `legoclf build-engine` does, in words; empty if nothing."""
    if not wishes.keep_fp32 or release.is_strongly_typed or release.version >= (8, 4):
        return ""
    return "this trtexec keeps no layer in FP32, as legoclf does with {}".format(", ".join(wishes.keep_fp32))


def _precision(onnx: str, wishes: Any, release: Release) -> List[str]:
    if release.is_strongly_typed:
        return []
    is_typed = onnx.endswith(".fp16.onnx")
    if is_typed and release.version >= (9, 0):
        return ["--stronglyTyped"]
    words = ["--int8"] if wishes.precision == "int8" else []
    if is_typed or wishes.precision == "fp16":
        words.append("--fp16")
    if wishes.precision == "fp16" and wishes.keep_fp32 and release.version >= (8, 4):
        kept = ",".join("{}:fp32".format(name) for name in wishes.keep_fp32)
        words += ["--precisionConstraints=obey", "--layerPrecisions=" + kept]
    return words


def _options(wishes: Any) -> List[str]:
    words = []
    if wishes.optimization_level is not None:
        words.append("--builderOptimizationLevel={}".format(wishes.optimization_level))
    if wishes.dla_core is not None:
        words += ["--useDLACore={}".format(wishes.dla_core), "--allowGPUFallback"]
    if wishes.version_compatible:
        words.append("--versionCompatible")
    if wishes.hardware_compatible:
        words.append("--hardwareCompatibilityLevel=ampere+")
    return words


def _shape(batch: int, size: Tuple[int, int]) -> str:
    return "{}:{}x3x{}x{}".format(_INPUT, batch, *size)


def _line(words: List[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
