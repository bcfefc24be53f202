"""How far each step of a conversion is from the one before it, by the comparison of `legoclf verify`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from legoclf.benchmarks.conversion_artefacts import Origin
from legoclf.bundle import Bundle
from legoclf.convert.verify_compare import Comparison, Example, Examples, compare
from legoclf.convert.verify_engines import engine_paths
from legoclf.convert.verify_images import held_out_images
from legoclf.convert.verify_paths import FP32, Answer, GraphPath, Runner, bundle_paths
from legoclf.golden import read_golden
from legoclf.retrain.engines import OnnxRuntimeEngine
from legoclf.retrain.heads import Head, softmax

TRAINED = "training head"

#: The step before each, by the names of :mod:`legoclf.convert.verify_paths`.
_BEFORE = {
    "frozen graph": TRAINED,
    "ONNX": "frozen graph",
    "SavedModel": "frozen graph",
    "jetson-inference ONNX": "ONNX",
    "FP16 ONNX": "ONNX",
    "INT8 ONNX": "FP16 ONNX",
    "fp32": "ONNX",
    "fp16": "FP16 ONNX",
    "int8": "INT8 ONNX",
}

#: The order of the steps; engines come last.
_ORDER = (
    TRAINED,
    "frozen graph",
    "SavedModel",
    "ONNX",
    "jetson-inference ONNX",
    "FP16 ONNX",
    "INT8 ONNX",
)


@dataclass(frozen=True)
class Step:
    """One step against the one before it, ``before``, and against FP32 ONNX; None where it is that itself."""

    name: str
    before: str | None
    from_before: Comparison | None
    from_fp32: Comparison | None

    def as_json(self) -> dict[str, Any]:
        """For the result's facts."""
        return {
            "step": self.name,
            "before": self.before,
            "from_before": None if self.from_before is None else _record(self.from_before),
            "from_fp32": None if self.from_fp32 is None else _record(self.from_fp32),
        }

    def as_text(self) -> str:
        """In one line."""
        told = [] if self.from_before is None else [f"from {self.before} {_told(self.from_before)}"]
        if self.from_fp32 is not None and self.before != "ONNX":
            told.append(f"from ONNX {_told(self.from_fp32)}")
        compared = self.from_before or self.from_fp32
        accuracy = None if compared is None else compared.accuracy
        right = "" if accuracy is None else f"; {accuracy:.1%} right"
        return f"drift, {self.name}: {'; '.join(told)}{right}"


@dataclass(frozen=True)
class Images:
    """What the steps are compared on, and what it is called."""

    name: str
    examples: list[Example]
    notes: list[str]


def images_for(bundle: Bundle, image_dir: str | None, most: int) -> Images:
    """Held-out images of a data set, spread over it, or the bundle's golden ones; ``most`` at most."""
    if image_dir is None:
        tensors = read_golden(bundle).tensors[:most]
        return Images("golden", [(tensor, None) for tensor in tensors], [])
    held_out = held_out_images(bundle, image_dir)
    step = -(-len(held_out.items) // most)
    chosen = replace(held_out, items=held_out.items[::step])
    examples = list(chosen.examples())
    return Images("held-out", examples, [*held_out.notes, *(f"skipped: {each}" for each in chosen.skipped)])


def drift(bundle: Bundle, origin: Origin | None, images: Images) -> tuple[list[Step], dict[str, str]]:
    """Run every graph and engine of a bundle, and what it was trained as.

    Args:
        origin: the network and the head that the training had; None where that is not known.

    Returns:
        the steps in order, and for what cannot run here the reason.

    Raises:
        LegoclfError: a graph cannot be loaded or run.
    """
    engines, refusals = engine_paths(bundle)
    [onnx, *others] = [*bundle_paths(bundle), *engines]
    if origin is not None:
        others.append(GraphPath(TRAINED, TRAINED, FP32, lambda: _trained(origin)))
    every, skipped = _compared(bundle, [onnx, *others], images)
    skipped.update((f"engine {place}", refusal) for place, refusal in enumerate(refusals))
    running = {one.path.name: one for one in every}
    steps = []
    for name in sorted(running, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)):
        before = _step_before(name, running)
        from_before = None
        if before is not None:
            pair, _ = _compared(bundle, [running[before].path, running[name].path], images)
            from_before = pair[1]
        steps.append(Step(name, before, from_before, None if name == onnx.name else running[name]))
    return steps, skipped


def _compared(
    bundle: Bundle, paths: Sequence[GraphPath], images: Images
) -> tuple[list[Comparison], dict[str, str]]:
    """Each of the paths against the first of them."""
    examples = Examples(images.examples, len(images.examples))
    found = compare(bundle, list(paths), {images.name: examples})
    return found.sets[images.name], found.skipped


def _step_before(name: str, running: dict[str, Any]) -> str | None:
    """The nearest step before it that runs here; an engine is called ``engine fp16 1a2b3c4d``."""
    before = _BEFORE.get(name.split()[1] if name.startswith("engine ") else name)
    while before is not None and before not in running:
        before = _BEFORE.get(before)
    return before


@contextmanager
def _trained(origin: Origin) -> Iterator[Runner]:
    """As `legoclf retrain` had it: features by its engine, the head in NumPy."""
    head = Head(origin.weights, origin.bias, {})
    with OnnxRuntimeEngine(origin.vector) as engine:

        def run(tensors: np.ndarray) -> Answer:
            logits = head.logits(np.stack([engine.features(tensor) for tensor in tensors]))
            return Answer(logits, softmax(logits))

        yield run


def _record(comparison: Comparison) -> dict[str, Any]:
    return {
        "images": comparison.images,
        "top1_changed": comparison.changed,
        "largest_probability_difference": _number(comparison.probability),
        "largest_logit_difference": _number(comparison.logit),
        "right": comparison.right if comparison.known else None,
        "with_known_class": comparison.known,
    }


def _told(comparison: Comparison) -> str:
    logit = "" if comparison.logit is None else f"logit {comparison.logit:.2g}, "
    return (
        f"{logit}probability {comparison.probability:.2g}, "
        f"top-1 changed {comparison.changed} of {comparison.images}"
    )


def _number(value: float | None) -> float | None:
    """As JSON can hold it; None where it is not finite."""
    return None if value is None or not isfinite(value) else float(f"{value:.6g}")
