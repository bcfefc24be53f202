"""Building one engine: an ONNX graph and a set of wishes, granted by what the release of TensorRT has.

A wish that the engine would not be the same without (precision, DLA, compatibility, batch) and that cannot be
granted is an error; one that only steers the build (its effort, its timing cache) becomes a note.
"""

import os
import tempfile
from typing import Callable, List, NamedTuple, Optional, Tuple

from legoclf.convert.engine.onnx_reader import OnnxSummary, summarise
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.tensorrt_api import Build, ParseProblem, TensorRTApi

MIB = 1 << 20
PRECISIONS = ("fp32", "fp16", "int8")
_SHOWN_WARNINGS = 5
_SHOWN_PROBLEMS = 3


class BuildConfig(NamedTuple):
    """The wishes for one engine.

    Attributes:
        precision: one of :data:`PRECISIONS`; FP32 may compute its products in TF32, where the GPU has it.
        workspace_mib: what the layers' algorithms may use beside weights and activations.
        batch: (smallest, optimal, largest) batch.
        optimization_level: the builder's effort, 0 to 5; None leaves it to TensorRT.
        dla_core: a deep learning accelerator; the GPU takes the layers it cannot. None: the GPU alone.
        version_compatible: later releases of TensorRT load it too.
        hardware_compatible: other GPUs, from Ampere on, run it too.
        timing_cache: a file to keep what the builder measured in; empty for none.
        verbose: pass on all that TensorRT says.
        compute_capability: "8.9": build for that GPU, which need not be there (TensorRT for RTX);
            empty for the GPU of this machine.
        keep_fp32: nodes of the ONNX that FP16 by the builder's flag leaves in FP32.
    """

    precision: str = "fp32"
    workspace_mib: int = 128
    batch: Tuple[int, int, int] = (1, 1, 1)
    optimization_level: Optional[int] = None
    dla_core: Optional[int] = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    timing_cache: str = ""
    verbose: bool = False
    compute_capability: str = ""
    keep_fp32: Tuple[str, ...] = ()


class BuiltEngine(NamedTuple):
    """An engine's plan, and what to tell the user of how it was built."""

    plan: bytes
    notes: List[str]


def needs_typed_fp16(api: TensorRTApi) -> bool:
    """Whether an FP16 engine is built from model.fp16.onnx: this TensorRT has no flag for FP16."""
    return not api.has_precision_flags


def build_engine(
    api: TensorRTApi,
    onnx: bytes,
    config: BuildConfig,
    log: Callable[[str], None],
    progress: Optional[Callable[[str, int, int], None]] = None,
) -> BuiltEngine:
    """Build an engine on this machine.

    Args:
        api: TensorRT, from :func:`legoclf.jetson.tensorrt_api.find_tensorrt`.
        onnx: the model: FP32, typed FP16, or Q/DQ for INT8.
        log: called with lines to show, from TensorRT's threads too.
        progress: called with a phase's name, its steps done and their number, where the release tells them.

    Raises:
        UsageError: wishes that no release grants.
        LegoclfError: the ONNX is damaged or not of the precision, the parser refuses it, this TensorRT or
            device cannot grant a wish, or the build fails.
    """
    _check(config)
    model = summarise(onnx)
    typed = _strongly_typed(api, model, config)
    api.log.show = log if config.verbose else None
    try:
        build = api.new_build(typed)
        problems = build.parse(onnx)
        if problems:
            raise _refusal(api, model, problems)
        notes = _apply(api, build, model, config, typed)
        if progress is not None and api.has_progress:
            build.report_progress(progress)
        plan = build.run()
        warned = api.log.warnings
        notes += ["{} warns: {}".format(api.name, line) for line in warned[:_SHOWN_WARNINGS]]
        if len(warned) > _SHOWN_WARNINGS:
            notes.append("{} warnings more: --verbose shows them".format(len(warned) - _SHOWN_WARNINGS))
        if config.timing_cache and api.has_timing_cache:
            notes += _write_cache(config.timing_cache, build.timing_cache())
    finally:
        api.log.show = None
    return BuiltEngine(plan, notes)


def _check(config: BuildConfig) -> None:
    if config.precision not in PRECISIONS:
        raise UsageError("--precision {}; expected {}".format(config.precision, ", ".join(PRECISIONS)))
    if config.workspace_mib < 1:
        raise UsageError("--workspace {}; expected MiB, 1 or more".format(config.workspace_mib))
    if not 1 <= config.batch[0] <= config.batch[1] <= config.batch[2]:
        raise UsageError("the batch is {}; expected 1 <= smallest <= optimal <= largest".format(config.batch))
    if config.optimization_level is not None and not 0 <= config.optimization_level <= 5:
        raise UsageError("the optimisation level is {}; expected 0 to 5".format(config.optimization_level))
    if config.dla_core is not None and config.precision == "fp32":
        raise UsageError("the DLA computes in FP16 or INT8: add --precision fp16, or leave the DLA out")


def _strongly_typed(api: TensorRTApi, model: OnnxSummary, config: BuildConfig) -> bool:
    """Whether the engine's types are to be the ONNX's own; an ONNX of another precision is refused."""
    held = "int8" if model.quantised else "fp16" if model.half_weights else "fp32"
    from_fp32 = config.precision == "fp16" and held == "fp32" and api.has_precision_flags
    if held != config.precision and not from_fp32:
        files = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
        raise LegoclfError(
            "{} takes an ONNX model typed for {} here, and this one is typed for {}: build from {}, "
            "which legoclf convert makes".format(
                api.name, config.precision.upper(), held.upper(), files[config.precision]
            )
        )
    if not api.has_precision_flags:
        return True
    return held == "fp16" and api.has_strong_typing


def _refusal(api: TensorRTApi, model: OnnxSummary, problems: List[ParseProblem]) -> LegoclfError:
    told = [_told(model, problem) for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        told.append("{} more".format(len(problems) - _SHOWN_PROBLEMS))
    return LegoclfError(
        "{} does not take the ONNX model: {}; on the training PC, legoclf convert --target "
        "jetpack4|jetpack5|jetpack6|jetpack7|rtx names every such node and its mend".format(
            api.name, "; ".join(told)
        )
    )


def _told(model: OnnxSummary, problem: ParseProblem) -> str:
    name, operator = problem.name, problem.operator
    if not operator and 0 <= problem.node < len(model.nodes):  # before TensorRT 10 there is only the index
        name, operator = model.nodes[problem.node]
    if not operator:
        return problem.reason
    return "node '{}' ({}): {}".format(name, operator, problem.reason)


def _apply(api: TensorRTApi, build: Build, model: OnnxSummary, config: BuildConfig, typed: bool) -> List[str]:
    """Grant the wishes; what the user should know of it."""
    build.limit_workspace(config.workspace_mib * MIB)
    notes = [] if typed else _set_precision(api, build, model, config)
    _set_batch(build, config.batch)
    notes += _set_effort(api, build, config)
    if config.dla_core is not None:
        _set_dla(api, build, config.dla_core)
    if config.version_compatible:
        _demand(api.has_version_compatibility, api, "build version-compatible engines", "leave that out")
        build.be_version_compatible()
    if config.hardware_compatible:
        _demand(api.has_hardware_compatibility, api, "build hardware-compatible engines", "leave that out")
        build.be_hardware_compatible()
    if config.compute_capability:
        known = api.compute_capabilities
        what = "build for compute capability {}".format(config.compute_capability)
        mend = "it knows {}".format(", ".join(known)) if known else "build on the device itself"
        _demand(config.compute_capability in known, api, what, mend)
        build.set_compute_capability(config.compute_capability)
    return notes


def _demand(granted: bool, api: TensorRTApi, what: str, mend: str) -> None:
    if not granted:
        raise LegoclfError("{} cannot {}: {}".format(api.name, what, mend))


def _set_precision(api: TensorRTApi, build: Build, model: OnnxSummary, config: BuildConfig) -> List[str]:
    notes = []
    flags = []
    if config.precision == "int8":
        flags.append("INT8")
    if config.precision == "fp16" or model.half_weights:
        flags.append("FP16")
    for flag in flags:
        if not build.allow(flag):
            notes.append("this GPU has no fast {}: expect no gain from it".format(flag))
    if config.precision == "fp16" and config.keep_fp32:
        missing = build.keep_fp32(config.keep_fp32, model.outputs)
        if missing:
            notes.append(
                "{} has no layers named {}: they may run in FP16".format(api.name, ", ".join(missing))
            )
    if config.precision == "fp16" and model.half_weights:
        notes.append("{} may compute in FP16 what the ONNX model keeps in FP32".format(api.name))
    return notes


def _set_batch(build: Build, batch: Tuple[int, int, int]) -> None:
    inputs = build.inputs()
    if len(inputs) != 1:
        raise LegoclfError(
            "the ONNX model has the inputs {}; expected one".format(", ".join(sorted(inputs)) or "(none)")
        )
    ((name, shape),) = inputs.items()
    if -1 in shape[1:]:
        raise LegoclfError(
            "the ONNX model's input '{}' is {}: expected a fixed image size, only the batch free".format(
                name, list(shape)
            )
        )
    if shape[0] == -1:
        smallest, optimal, largest = ((size, *shape[1:]) for size in batch)
        build.set_profile(name, (smallest, optimal, largest))
    elif set(batch) != {shape[0]}:
        raise LegoclfError(
            "the ONNX model has the batch {} built in, and {}..{} is asked for: make it with "
            "legoclf convert --batch dynamic:{}".format(shape[0], batch[0], batch[2], batch[2])
        )


def _set_effort(api: TensorRTApi, build: Build, config: BuildConfig) -> List[str]:
    notes = []
    if config.optimization_level is not None:
        if api.has_optimization_level:
            build.set_optimization_level(config.optimization_level)
        else:
            notes.append("{} has no optimisation level: it builds with its own".format(api.name))
    if config.timing_cache and api.has_timing_cache:
        data, cause = _read_cache(config.timing_cache)
        if not build.use_timing_cache(data) and data:
            cause = "it is damaged, or of another TensorRT or GPU"
        if cause:
            notes.append(
                "the timing cache {} is not used ({}); a new one is begun".format(config.timing_cache, cause)
            )
    return notes


def _set_dla(api: TensorRTApi, build: Build, core: int) -> None:
    cores = build.dla_cores()
    if not 0 <= core < cores:
        raise LegoclfError(
            "DLA core {} is asked for; {} finds {} on this device: {}".format(
                core, api.name, cores, "use 0 to {}".format(cores - 1) if cores else "leave the DLA out"
            )
        )
    build.use_dla(core)


def _read_cache(path: str) -> Tuple[bytes, str]:
    """The file's bytes, and why it cannot be read; neither where it does not exist yet."""
    try:
        with open(path, "rb") as file:
            return file.read(), ""
    except FileNotFoundError:
        return b"", ""
    except OSError as error:
        return b"", str(error)


def _write_cache(path: str, data: bytes) -> List[str]:
    """Replace the file whole: a build that is killed, or beside this one, leaves no half of it."""
    temporary = ""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=os.path.dirname(path) or ".", prefix=".timing-", delete=False
        ) as file:
            temporary = file.name
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.remove(temporary)
        return ["the timing cache {} cannot be written: {}".format(path, error)]
    return []
