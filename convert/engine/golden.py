"""Whether an engine answers as the bundle's ONNX graph does, by golden.npz: NumPy alone, on the device."""

from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from legoclf.golden import Golden, novelty_difference, novelty_fault
from legoclf.jetson.golden_check import TF32_FROM
from legoclf.novelty import OUTPUT as NOVELTY_NAME
from legoclf.novelty import NoveltyRule, judge


class Verification(NamedTuple):
    """An engine's answers against the golden ones.

    images: how many were compared.
    top1_changed: how many got another top-1; none may.
    logits_difference, probability_difference: the largest; None if an answer is not a finite number.
    judged_by: ``logits`` or ``probabilities``: which of them must be within ``bound``.
    novelty_difference: the largest, of a novelty beyond 1 as a share of it; None if one is not a finite
        number, or the engine or golden.npz has none.
    novelty_fault: what is wrong with the novelty; empty if nothing is.
    """

    images: int
    top1_changed: int
    logits_difference: Optional[float]
    probability_difference: Optional[float]
    judged_by: str
    bound: float
    passed: bool
    novelty_difference: Optional[float] = None
    novelty_fault: str = ""

    def __str__(self) -> str:
        measured = self.logits_difference if self.judged_by == "logits" else self.probability_difference
        return "{} of {} top-1 changed, {} differ by {} at most (bound {:.2g}){}".format(
            self.top1_changed,
            self.images,
            self.judged_by,
            "more than can be told" if measured is None else "{:.2g}".format(measured),
            self.bound,
            self.novelty_fault and "; " + self.novelty_fault,
        )


def verify_engine(
    session: Any,
    golden: Golden,
    precision: str,
    compute_capability: str,
    probability_bound: Optional[float] = None,
    rule: Optional[NoveltyRule] = None,
) -> Verification:
    """Run the golden tensors and compare.

    FP32 is held to ``bound_logits_fp32`` where the GPU multiplies in FP32. Where it has TF32, and for
    FP16 and INT8, it is held to ``bound_probabilities_fp16``. Top-1 must be the same in any case. The novelty
    is judged by :func:`legoclf.golden.novelty_fault`.

    Args:
        session: an open TensorRTSession.
        compute_capability: of the GPU, as ``5.3``.
        probability_bound: instead of golden.npz's.
        rule: the bundle's, by which an image may be unknown.

    Raises:
        LegoclfError: the engine does not run, or its novelty is not one number an image.
    """
    answers = run_all(session, golden.tensors)
    exact = precision == "fp32" and tuple(int(part) for part in compute_capability.split(".")) < TF32_FROM
    logits = _largest(answers["logits"], golden.logits)
    probabilities = _largest(answers["probabilities"], golden.probabilities)
    changed = answers["probabilities"].argmax(axis=1) != golden.probabilities.argmax(axis=1)
    bound = golden.bound_probabilities_fp16 if probability_bound is None else probability_bound
    if exact:
        bound = golden.bound_logits_fp32
    fault = novelty_fault(answers, golden, rule, exact)
    # All must be numbers: an engine that overflows may still put the right name first.
    finite = logits is not None and probabilities is not None
    measured = logits if exact else probabilities
    return Verification(
        images=len(golden.tensors),
        top1_changed=int(changed.sum()),
        logits_difference=logits,
        probability_difference=probabilities,
        judged_by="logits" if exact else "probabilities",
        bound=bound,
        passed=bool(
            finite and measured is not None and measured <= bound and not changed.any() and not fault
        ),
        novelty_difference=_novelty_difference(answers, golden),
        novelty_fault=fault,
    )


def run_all(session: Any, tensors: np.ndarray) -> Dict[str, np.ndarray]:
    """Logits and probabilities of all tensors, float32 [N, C], in batches that the engine takes.

    The novelty, float32 [N], too, where the engine gives it.
    """
    smallest, _, largest = session.batch_sizes
    parts: Dict[str, List[np.ndarray]] = {"logits": [], "probabilities": []}
    if NOVELTY_NAME in session.outputs:
        parts[NOVELTY_NAME] = []
    for start in range(0, len(tensors), largest):
        batch = tensors[start : start + largest]
        results = session.run(repeated(batch, max(smallest, len(batch))), list(parts))
        for name in parts:
            parts[name].append(results[name][: len(batch)])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def repeated(tensors: np.ndarray, count: int) -> np.ndarray:
    """``count`` of the tensors, from the beginning again where there are fewer."""
    return np.ascontiguousarray(tensors[np.arange(count) % len(tensors)])


def _largest(answer: np.ndarray, expected: np.ndarray) -> Optional[float]:
    """The largest difference; None where it is not a finite number."""
    worst = float(np.abs(answer.astype(np.float64) - expected).max())
    return worst if np.isfinite(worst) else None


def _novelty_difference(answers: Dict[str, np.ndarray], golden: Golden) -> Optional[float]:
    novelty, _ = judge(answers, None)
    if novelty is None or golden.novelty is None:
        return None
    worst = novelty_difference(novelty, golden.novelty)
    return worst if np.isfinite(worst) else None
