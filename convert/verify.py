"""Proof that a bundle's graphs say the same, and that this machine prepares images as the training did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from legoclf.bundle import FROZEN_GRAPH, GOLDEN_FILE, ONNX_MODEL, SAVED_MODEL, Bundle
from legoclf.convert.frozen import FrozenGraph, import_tensorflow
from legoclf.convert.saved_model import SIGNATURE_INPUT, SIGNATURE_OUTPUT
from legoclf.preprocess import fastest_fit, fit_reference, preprocess
from legoclf.session import OnnxRuntimeSession

#: Largest difference of a probability between TensorFlow's and ONNX Runtime's FP32.
PROBABILITY_BOUND = 1e-4

#: Tensors held and run at a time.
BATCH_SIZE = 16


@dataclass(frozen=True)
class Check:
    """One comparison: what was compared, the figure, the most it may be, and in which unit."""

    name: str
    measured: float
    bound: float
    unit: str

    @property
    def passed(self) -> bool:
        """Whether the figure is within its bound."""
        return self.measured <= self.bound


def golden_checks(bundle: Bundle) -> list[Check]:
    """Golden images through both preprocessing paths, golden tensors through the ONNX graph."""
    with np.load(bundle.file(GOLDEN_FILE), allow_pickle=False) as golden:
        arrays = {name: golden[name] for name in golden.files}
    images = [arrays[f"image_{index}"] for index in range(len(arrays["tensors"]))]
    level = 1.0 / abs(bundle.contract.scale)
    fits = {"reference": fit_reference, "OpenCV": fastest_fit()}
    checks = []
    for name, fit in fits.items():
        tensors = np.stack([preprocess(image, bundle.contract, fit) for image in images])
        difference = np.abs(tensors - arrays["tensors"]) * level
        # The division by the scale leaves a rounding error of float32, far below a level.
        most = 0.0 if name == "reference" else float(arrays["bound_levels_max"])
        mean = 0.0 if name == "reference" else float(arrays["bound_levels_mean"])
        checks.append(Check(f"preprocessing, {name}: worst", _tidy(difference.max()), most, "levels of 255"))
        checks.append(Check(f"preprocessing, {name}: mean", _tidy(difference.mean()), mean, "levels of 255"))
    with OnnxRuntimeSession(bundle.file(ONNX_MODEL)) as session:
        logits = session.run(arrays["tensors"], ["logits"])["logits"]
    worst = float(np.abs(logits - arrays["logits"]).max())
    return [*checks, Check("golden logits, ONNX", worst, float(arrays["bound_logits_fp32"]), "")]


def graph_checks(bundle: Bundle, tensors: Iterable[np.ndarray]) -> list[Check]:
    """Frozen graph and SavedModel in TensorFlow against the ONNX graph in ONNX Runtime.

    Args:
        tensors: float32 [3, H, W] each, as the contract makes them.

    Returns:
        for each of the two: how many images change their top-1 (none may), and the largest
        difference of a probability.
    """
    changed = {"frozen graph": 0, "SavedModel": 0}
    worst = {"frozen graph": 0.0, "SavedModel": 0.0}
    name = bundle.provenance.get("final_tensor_name", "final_result")
    saved_model = _load_saved_model(bundle)
    with (
        FrozenGraph(bundle.file(FROZEN_GRAPH), name) as frozen,
        OnnxRuntimeSession(bundle.file(ONNX_MODEL)) as session,
    ):
        for batch in _batches(tensors):
            expected = session.run(batch, ["probabilities"])["probabilities"]
            nhwc = np.ascontiguousarray(batch.transpose(0, 2, 3, 1))
            answers = {"frozen graph": frozen.probabilities(nhwc), "SavedModel": saved_model(nhwc)}
            for graph, answer in answers.items():
                changed[graph] += int((answer.argmax(axis=1) != expected.argmax(axis=1)).sum())
                worst[graph] = max(worst[graph], float(np.abs(answer - expected).max()))
    return [
        check
        for graph in changed
        for check in (
            Check(f"{graph} against ONNX: top-1 changed", changed[graph], 0, "images"),
            Check(f"{graph} against ONNX: probability", worst[graph], PROBABILITY_BOUND, ""),
        )
    ]


def golden_tensors(bundle: Bundle) -> np.ndarray:
    """The tensors of golden.npz, float32 [N, 3, H, W]."""
    with np.load(bundle.file(GOLDEN_FILE), allow_pickle=False) as golden:
        return golden["tensors"]


def _tidy(levels: float) -> float:
    return round(float(levels), 4)


def _load_saved_model(bundle: Bundle) -> Any:
    tf = import_tensorflow()
    folder = bundle.file(f"{SAVED_MODEL}/saved_model.pb").rsplit("saved_model.pb", 1)[0]
    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_default"]

    def probabilities(nhwc: np.ndarray) -> np.ndarray:
        # `loaded` is named here to keep it alive: a signature alone does not.
        assert loaded is not None
        return signature(**{SIGNATURE_INPUT: tf.constant(nhwc)})[SIGNATURE_OUTPUT].numpy()

    return probabilities


def _batches(tensors: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    batch: list[np.ndarray] = []
    for tensor in tensors:
        batch.append(tensor)
        if len(batch) == BATCH_SIZE:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)
