"""The check at start-up: golden images through the very path that will run, before it runs.

The commonest failure on a device is an image that is prepared otherwise than in training; the next is an
engine that answers otherwise than its graph. Both look like a bad model. golden.npz tells them apart, and by
how much (docs/bundle.md section 4).
"""

from typing import Any, Dict, Optional

import numpy as np

from legoclf.bundle import GOLDEN_FILE, Bundle
from legoclf.errors import BundleError, LegoclfError
from legoclf.golden import Golden, novelty_fault, read_golden
from legoclf.jetson.frame import Frame
from legoclf.jetson.preprocessor import check_preprocessing
from legoclf.novelty import OUTPUT as NOVELTY_NAME
from legoclf.novelty import NoveltyRule

#: From this compute capability on, TensorRT's FP32 multiplies in TF32, whose mantissa is FP16's.
TF32_FROM = (8, 0)

#: Most that the probabilities of one prepared image may differ between the two ways into the network, from
#: the host's memory and from the camera's frame: it is the same engine on the same tensor.
SAME_PROBABILITIES = 1e-3


class GoldenMismatch(LegoclfError):  # noqa: N818
    """This device would answer otherwise than the bundle was trained to; nothing may be classified."""


def check_at_start(runtime: Any, bundle: Bundle) -> None:
    """Put the golden images through a runtime as frames of a camera, and compare.

    Args:
        runtime: an open :class:`legoclf.jetson.runtime.Runtime`, the one that will run.

    Raises:
        GoldenMismatch: preprocessing or the network differs by more than golden.npz allows; the message
            says by how much, and which field of the contract explains it.
        BundleError: there is no golden.npz, or it cannot be used.
    """
    if GOLDEN_FILE not in bundle.files:
        raise BundleError(
            "{}: holds no {} to check this device with; retrain, or go without: --no_golden".format(
                bundle.path, GOLDEN_FILE
            )
        )
    golden = read_golden(bundle)
    prepared = check_preprocessing(runtime.preprocess, golden, bundle.contract)
    if not prepared.passed:
        raise _mismatch(bundle, "preprocessing", prepared.reason)
    # One by one, as golden.npz was made and as a camera's frames come.
    answers = [runtime.run_tensor(tensor[None]) for tensor in golden.tensors]
    found = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    reason = network_difference(found, golden, runtime.is_exact, bundle.novelty)
    if reason:
        raise _mismatch(bundle, runtime.description, reason)
    _check_whole_path(runtime, bundle, golden)


def network_difference(
    answers: Dict[str, np.ndarray], golden: Golden, is_exact: bool, rule: Optional[NoveltyRule] = None
) -> str:
    """Why a network's answers to the golden tensors are not the golden ones; empty if they are.

    Args:
        answers: ``logits`` and ``probabilities``, float32 [N, C], and ``novelty``, [N], where there is one.
        is_exact: the network computes in full FP32, and its logits are judged; else its probabilities are.
        rule: the bundle's, by which an image may be unknown.
    """
    name = "logits" if is_exact else "probabilities"
    bound = golden.bound_logits_fp32 if is_exact else golden.bound_probabilities_fp16
    expected = golden.logits if is_exact else golden.probabilities
    finite = all(np.isfinite(array).all() for key, array in answers.items() if key != NOVELTY_NAME)
    worst = float(np.abs(answers[name].astype(np.float64) - expected).max()) if finite else np.inf
    changed = int((answers["probabilities"].argmax(axis=1) != golden.probabilities.argmax(axis=1)).sum())
    if worst <= bound and not changed:
        return novelty_fault(answers, golden, rule, is_exact)
    return "{} of {} golden images get another label, {} differ by {:.2g} at most (bound {:.2g})".format(
        changed, len(golden.tensors), name, worst, bound
    )


def _check_whole_path(runtime: Any, bundle: Bundle, golden: Golden) -> None:
    """A frame may reach the network by another way than a tensor does: both must give the same."""
    frame = Frame(np.ascontiguousarray(golden.images[-1][:, :, ::-1]), "BGR", -1 - len(golden.images), 0.0)
    direct = runtime.classify(frame).probabilities
    by_tensor = runtime.run_tensor(runtime.preprocess(frame)[None])["probabilities"]
    worst = float(np.abs(direct - by_tensor).max())
    if not worst <= SAME_PROBABILITIES:
        raise _mismatch(
            bundle,
            runtime.description,
            "a frame and its tensor get probabilities that differ by {:.2g} (bound {:.2g})".format(
                worst, SAME_PROBABILITIES
            ),
        )


def _mismatch(bundle: Bundle, part: str, reason: str) -> GoldenMismatch:
    return GoldenMismatch(
        "{}: the golden check fails: {}: {}; copy the bundle again or retrain, or see what it does all the "
        "same with --no_golden".format(bundle.path, part, reason)
    )
