"""The engines of a bundle as ways to run it, where TensorRT and the GPU they were built for are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import numpy as np

from legoclf.bundle import Bundle
from legoclf.convert.engine.golden import run_all
from legoclf.convert.novelty import NOVELTY_NAME
from legoclf.convert.onnx_graph import LOGITS_NAME, PROBABILITIES_NAME
from legoclf.convert.verify_paths import FP16, FP32, Answer, GraphPath, NotHereError, Runner
from legoclf.errors import LegoclfError
from legoclf.jetson.engine_identity import EngineIdentity, Machine, differences, this_machine
from legoclf.jetson.engine_store import EngineRefused, StoredEngine, list_engines, read_plan
from legoclf.jetson.golden_check import TF32_FROM


def engine_paths(bundle: Bundle) -> tuple[list[GraphPath], list[str]]:
    """The engines of a bundle, and for each file in ``engines`` that must not be loaded the reason."""
    engines, refusals = list_engines(bundle.path)
    paths = []
    for engine in engines:
        try:
            read_plan(engine)
        except EngineRefused as refusal:
            refusals.append(str(refusal))
            continue
        name = f"engine {engine.identity.precision} {engine.key[:8]}"
        file = f"engines/{engine.key}.engine"
        paths.append(GraphPath(name, file, _family(engine.identity), partial(_run, bundle, engine)))
    return paths, refusals


def _family(identity: EngineIdentity) -> str:
    """The precision an engine is judged by: FP32 as FP16 where TensorRT multiplies in TF32."""
    capability = tuple(int(part) for part in identity.compute_capability.split(".") if part.isdigit())
    return FP16 if identity.precision == FP32 and capability >= TF32_FROM else identity.precision


@contextmanager
def _run(bundle: Bundle, engine: StoredEngine) -> Iterator[Runner]:
    from legoclf.convert.engine.trials import open_session
    from legoclf.jetson.cuda import open_cuda
    from legoclf.jetson.tensorrt_api import find_tensorrt

    try:
        api = find_tensorrt()
        cuda = open_cuda()
    except LegoclfError as error:
        raise NotHereError(str(error)) from error
    with closing(cuda):
        _check_fits(bundle, engine, this_machine(api, cuda))
        with open_session(engine, api, cuda) as session:

            def run(tensors: np.ndarray) -> Answer:
                answers = run_all(session, tensors)
                return Answer(answers[LOGITS_NAME], answers[PROBABILITIES_NAME], answers.get(NOVELTY_NAME))

            yield run


def _check_fits(bundle: Bundle, engine: StoredEngine, here: Machine) -> None:
    """Raise NotHereError where an engine is for another machine, or for a graph that has changed since."""
    onnx = bundle.files.get(engine.record.get("onnx_file", ""))
    needed = engine.identity.on(here)._replace(onnx_sha256=onnx.sha256 if onnx else "")
    changed = differences(engine.identity, needed)
    if changed:
        raise NotHereError(f"not for this machine or bundle: {', '.join(map(str, changed))}")
