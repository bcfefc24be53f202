"""Engines of a bundle for this machine, one for each precision: found or built, verified, timed, recorded."""

import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from legoclf.bundle import FP16_MODEL, INT8_MODEL, ONNX_MODEL, Bundle
from legoclf.convert.engine.build import BuildConfig, needs_typed_fp16
from legoclf.convert.engine.golden import Verification, repeated, verify_engine
from legoclf.convert.engine.precision import Timing, Trial, measure
from legoclf.convert.engine.worker import build_in_child
from legoclf.errors import LegoclfError
from legoclf.golden import Golden
from legoclf.jetson.engine_identity import EngineIdentity, Machine
from legoclf.jetson.engine_store import (
    EngineMissing,
    EngineRefused,
    StoredEngine,
    find_engine,
    read_plan,
    save_engine,
    temporary_file,
    update_record,
)
from legoclf.jetson.tensorrt_api import TensorRTApi
from legoclf.jetson.tensorrt_session import TensorRTSession

REBUILDS = ("auto", "always", "never")


class Plan(NamedTuple):
    """What is wanted of the engines of one bundle.

    precisions: in the order in which they are tried.
    config: the wishes that they share; its precision is not used.
    rebuild: ``auto`` builds where no engine fits, ``always`` in any case, ``never`` refuses.
    golden: what to verify with; None where the GPU that is built for is not here.
    probability_bound: instead of golden.npz's.
    """

    bundle: Bundle
    machine: Machine
    precisions: List[str]
    config: BuildConfig
    rebuild: str
    golden: Optional[Golden]
    probability_bound: Optional[float]


def onnx_for(precision: str, api: TensorRTApi, plan: Plan) -> str:
    """The bundle's file that an engine of this precision is built from.

    FP16 comes from the typed graph where this TensorRT keeps to its types. Elsewhere, and for the DLA, it
    comes from the FP32 graph, by the builder's flag.
    """
    if precision == "int8":
        return INT8_MODEL
    can_be_typed = api.has_strong_typing and plan.config.dla_core is None
    typed = needs_typed_fp16(api) or (can_be_typed and FP16_MODEL in plan.bundle.files)
    return FP16_MODEL if precision == "fp16" and typed else ONNX_MODEL


def kept_fp32(bundle: Bundle) -> Tuple[str, ...]:
    """The nodes that `legoclf convert` found to need FP32, by its record in the bundle."""
    conversion = bundle.metrics.get("conversion")
    record = conversion.get(FP16_MODEL) if isinstance(conversion, dict) else None
    kept = record.get("kept_fp32") if isinstance(record, dict) else None
    return tuple(kept) if isinstance(kept, dict) else ()


def try_precisions(plan: Plan, api: TensorRTApi, cuda: Any, say: Callable[[str], None]) -> List[Trial]:
    """An engine of each precision; one that cannot be had is a trial with a note.

    All are built before the first is loaded: a build needs the memory that a loaded engine holds.

    Args:
        cuda: an open Cuda; None where the GPU that is built for is not here.
        say: gets lines to show.

    Raises:
        LegoclfError: the only precision asked for cannot be had.
    """
    trials = []
    for precision in plan.precisions:
        try:
            trials.append(_find_or_build(plan, precision, api, say))
        except LegoclfError as error:
            if len(plan.precisions) == 1:
                raise
            say("{}: {}".format(precision, error))
            trials.append(Trial(precision, note=str(error)))
    if plan.golden is None:
        return trials
    return [_checked(plan, trial, api, cuda, say) for trial in trials]


def identity_of(plan: Plan, precision: str, onnx_file: str) -> EngineIdentity:
    """What an engine of this precision must be.

    Raises:
        LegoclfError: the bundle lacks the graph.
    """
    if onnx_file not in plan.bundle.files:
        raise LegoclfError(
            "{}: holds no {}, which an engine of precision {} is built from here; "
            "run `legoclf convert {}{}` on the training machine and copy the bundle again".format(
                plan.bundle.path,
                onnx_file,
                precision,
                plan.bundle.path,
                " --int8" if onnx_file == INT8_MODEL else "",
            )
        )
    config = _config(plan, precision, onnx_file)
    return EngineIdentity(
        onnx_sha256=plan.bundle.files[onnx_file].sha256,
        precision=precision,
        workspace_mib=config.workspace_mib,
        batch=config.batch,
        optimization_level=config.optimization_level,
        dla_core=config.dla_core,
        version_compatible=config.version_compatible,
        hardware_compatible=config.hardware_compatible,
        keep_fp32=config.keep_fp32,
        **plan.machine._asdict(),
    )


def _config(plan: Plan, precision: str, onnx_file: str) -> BuildConfig:
    by_flag = precision == "fp16" and onnx_file == ONNX_MODEL
    return plan.config._replace(precision=precision, keep_fp32=kept_fp32(plan.bundle) if by_flag else ())


def open_session(engine: StoredEngine, api: TensorRTApi, cuda: Any) -> TensorRTSession:
    """A session of a stored engine, whose hash is checked first."""
    identity = engine.identity
    return TensorRTSession(
        api, read_plan(engine), cuda, dla_core=identity.dla_core, host_code=identity.version_compatible
    )


def _find_or_build(plan: Plan, precision: str, api: TensorRTApi, say: Callable[[str], None]) -> Trial:
    onnx_file = onnx_for(precision, api, plan)
    identity = identity_of(plan, precision, onnx_file)
    if plan.rebuild != "always":
        try:
            return Trial(precision, find_engine(plan.bundle.path, identity), reused=True)
        except EngineRefused as refusal:
            if plan.rebuild == "never":
                raise
            if not isinstance(refusal, EngineMissing):
                say("{}; building anew".format(refusal.reason))
    # Before the minutes of a build: the bundle may not be writable.
    path = temporary_file(plan.bundle.path)
    try:
        config = _config(plan, precision, onnx_file)
        notes = build_in_child(plan.bundle.file(onnx_file), config, path)
        with open(path, "rb") as stream:
            content = stream.read()
    finally:
        os.unlink(path)
    record = {"onnx_file": onnx_file, "notes": notes}
    return Trial(precision, save_engine(plan.bundle.path, identity, content, record))


def _checked(plan: Plan, trial: Trial, api: TensorRTApi, cuda: Any, say: Callable[[str], None]) -> Trial:
    """The trial with its verification and timing: those on record, else made now and recorded."""
    engine, golden = trial.engine, plan.golden
    if engine is None or golden is None:
        return trial
    if trial.reused and plan.probability_bound is None:
        known = _recorded(engine.record)
        if known is not None:
            return trial._replace(**known)
    try:
        with open_session(engine, api, cuda) as session:
            verification = verify_engine(
                session,
                golden,
                trial.precision,
                plan.machine.compute_capability,
                plan.probability_bound,
                plan.bundle.novelty,
            )
            timing = measure(session, repeated(golden.tensors, session.batch_sizes[1]))
    except LegoclfError as error:
        if len(plan.precisions) == 1:
            raise
        say("{}: {}".format(trial.precision, error))
        return trial._replace(note=str(error))
    changes = {"verification": dict(verification._asdict()), "timing": dict(timing._asdict())}
    return trial._replace(engine=update_record(engine, changes), verification=verification, timing=timing)


def _recorded(record: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Verification and timing as a sidecar has them; None if it has not both, whole."""
    try:
        return {
            "verification": Verification(**record["verification"]),
            "timing": Timing(**record["timing"]),
        }
    except (KeyError, TypeError):
        return None
