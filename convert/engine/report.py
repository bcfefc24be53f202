"""What `legoclf build-engine` came to, as text and as JSON."""

from typing import Any, Dict, List, NamedTuple, Optional

from legoclf.bundle import Bundle
from legoclf.convert.engine.layers import Layer, format_table
from legoclf.convert.engine.precision import Trial, as_json, table
from legoclf.errors import LegoclfError
from legoclf.jetson.engine_identity import Machine


class Outcome(NamedTuple):
    """What a call came to.

    trials: one of each precision.
    chosen: the one to use from now on; None if none passed.
    layers: the chosen engine's, where asked for.
    here: whether the GPU that was built for is in this machine.
    """

    bundle: Bundle
    machine: Machine
    trials: List[Trial]
    chosen: Optional[Trial]
    layers: List[Layer]
    here: bool


def outcome_text(outcome: Outcome) -> str:
    """The table, the layers where asked for, and where the engine is."""
    return table(outcome.trials, outcome.chosen) + _layer_text(outcome.layers) + _summary(outcome)


def _layer_text(layers: List[Layer]) -> str:
    return "".join(line + "\n" for line in ["", *format_table(layers)]) if layers else ""


def outcome_json(outcome: Outcome) -> Dict[str, Any]:
    """What `--json` prints."""
    return {
        "bundle": outcome.bundle.path,
        "machine": dict(outcome.machine._asdict()),
        "engines": [as_json(trial, outcome.chosen) for trial in outcome.trials],
        "layers": [dict(layer._asdict()) for layer in outcome.layers],
    }


def _summary(outcome: Outcome) -> str:
    chosen = outcome.chosen
    if chosen is not None and chosen.engine is not None:
        how = "used again" if chosen.reused else "built"
        return "{}: {}, {}\n".format(chosen.engine.path, chosen.precision, how)
    built = [trial.engine.path for trial in outcome.trials if trial.engine is not None]
    if outcome.here or not built:
        return ""
    return (
        "{}: neither timed nor verified, for the GPU is not here; "
        "there, run the same without --compute_capability\n".format(", ".join(built))
    )


def check_outcome(outcome: Outcome) -> None:
    """Raise LegoclfError if nothing came of it: no engine passes, or none could be built."""
    trials = outcome.trials
    built_for_elsewhere = not outcome.here and any(trial.engine is not None for trial in trials)
    if outcome.chosen is not None or built_for_elsewhere:
        return
    failed = ["{}: {}".format(trial.precision, trial.verification) for trial in trials if trial.verification]
    raise LegoclfError(
        "no engine passes ({}); try --precision fp32, or a greater --probability_bound".format(
            "; ".join(failed) or "none could be built"
        )
    )
