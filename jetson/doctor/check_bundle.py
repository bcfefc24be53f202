"""Checks of a bundle, and of the engine in it that would run here."""

import os

from legoclf.bundle import Bundle
from legoclf.errors import LegoclfError
from legoclf.jetson.doctor.check import Finding, not_here, note, ok, problem
from legoclf.jetson.doctor.facts import Facts
from legoclf.jetson.engine_identity import Machine
from legoclf.jetson.engine_store import EngineRefused, build_command, choose_engine


def check_bundle(facts: Facts) -> Finding:
    """Whether it is whole: every file as model.json says."""
    if facts.bundle is None:
        return not_here("none named: legoclf doctor BUNDLE looks at one")
    try:
        bundle = Bundle.open(facts.bundle)
    except LegoclfError as error:
        if os.path.isdir(facts.bundle):
            return problem(str(error), "copy the bundle again")
        return problem(str(error), "name a bundle, as `legoclf retrain` makes it")
    return ok("{}: whole, {} labels, {} files".format(bundle.path, len(bundle.labels), len(bundle.files)))


def check_engine(facts: Facts) -> Finding:
    """Whether the bundle has an engine for this very machine."""
    if facts.bundle is None:
        return not_here("none named: legoclf doctor BUNDLE looks at one")
    tensorrt, cuda = facts.probe("tensorrt"), facts.probe("cuda")
    if not tensorrt.is_there or not cuda.is_there or cuda.answer["code"]:
        return not_here("without TensorRT and a GPU there is no use for one")
    answer = cuda.answer
    machine = Machine(
        tensorrt="{}{}".format("RTX " if tensorrt.answer["rtx"] else "", tensorrt.answer["version"]),
        cuda=answer["runtime"],
        gpu=answer["gpu"],
        compute_capability=answer["capability"],
        l4t=facts.device.l4t or "",
    )
    try:
        engine = choose_engine(facts.bundle, machine)
    except EngineRefused as error:
        # The network runs all the same, by ONNX Runtime where that is installed.
        return note(error.reason, build_command(facts.bundle))
    except LegoclfError as error:
        return not_here("the bundle is not whole: {}".format(error))
    return ok("{} {}, built {}".format(engine.identity.precision, engine.key, engine.record.get("date", "?")))
