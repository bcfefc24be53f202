"""What `legoclf retrain` says in the end, as text and as JSON."""

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from legoclf.retrain.calibrate import Calibration
from legoclf.retrain.cross_validate import Pooled, paired_difference
from legoclf.retrain.novelty import PROBABILITY, MeasuredNovelty

if TYPE_CHECKING:
    from legoclf.retrain.training import Trained

_CLASSES_SHOWN = 30


def as_text(trained: "Trained", with_mistakes: bool) -> str:
    """The lines that `legoclf retrain` ends with.

    Args:
        with_mistakes: name the test images that were named wrong.
    """
    bundle, result = trained
    report = result.test
    lines = []
    if report is None:
        lines.append(
            "No test image: the accuracy was not measured. Add images, or raise --testing_percentage."
        )
    else:
        if with_mistakes:
            lines.append("=== MISCLASSIFIED TEST IMAGES ===")
            width = max([len(mistake.path) for mistake in report.mistakes], default=0)
            lines += [f"{mistake.path:<{width}}  {mistake.predicted}" for mistake in report.mistakes]
        low, high = report.interval
        if len(report.labels) <= _CLASSES_SHOWN:
            lines.append(f"{'class':<32} {'images':>6} {'recall':>7} {'precision':>9}")
            for figures in report.per_class:
                recall, precision = (_percent(x) for x in (figures.recall, figures.precision))
                lines.append(f"{figures.label:<32} {figures.images:>6} {recall:>7} {precision:>9}")
        lines.append(f"Final test accuracy = {100 * report.accuracy:.1f}% (N={report.images})")
        lines.append(f"95 % interval: {100 * low:.1f}% to {100 * high:.1f}%")
    lines += cross_validation_lines(result.cross_validation)
    if result.calibration is not None:
        lines.append(_calibration_line(result.calibration))
    if result.novelty is not None:
        lines += _novelty_lines(result.novelty)
    if result.advice:
        lines.append(result.advice)
    shown = os.path.relpath(bundle.path)
    lines.append(f"bundle: {shown}")
    if report is not None:
        lines.append(f"report: {os.path.join(shown, 'report', 'index.html')}")
    lines.append(f"try it: legoclf classify {shlex.quote(shown)} PHOTO")
    return "\n".join(lines) + "\n"


def cross_validation_lines(pooled: Sequence[Pooled]) -> list[str]:
    """A line for each head, and one for their difference."""
    lines = [
        f"Cross-validated accuracy, {one.head}: {100 * one.accuracy:.1f}% "
        f"(standard error {100 * one.standard_error:.1f}, N={len(one.right)})"
        for one in pooled
    ]
    if len(pooled) == 2:
        difference, error = paired_difference(*pooled)
        names = f"{pooled[0].head} against {pooled[1].head}"
        lines.append(f"{names}: {100 * difference:+.1f} points (paired standard error {100 * error:.1f})")
    return lines


def _calibration_line(calibration: Calibration) -> str:
    before, after = calibration.test_error_before, calibration.test_error_after
    text = f"Calibration: temperature {calibration.temperature:.2f} from {calibration.images} images"
    if before is None or after is None:
        return text
    return f"{text}; expected calibration error of the test images {before:.1%}, now {after:.1%}"


def _novelty_lines(novelty: MeasuredNovelty) -> list[str]:
    rule, scores = novelty.fitted.rule, novelty.fitted.auroc
    line = f"Unknown: by {rule.kind}"
    if scores:
        best = max(scores[name] for name in scores if name != PROBABILITY)
        line += (
            f" (AUROC of classes left out {best:.3f}; by the largest probability {scores[PROBABILITY]:.3f})"
        )
    line += f"; {rule.false_reject_rate:.0%} of known images may be refused"
    if novelty.test_refused is not None:
        line += f", {novelty.test_refused:.1%} of the test images are"
    lines = [line]
    if novelty.auroc is not None:
        lines.append(
            f"Unknown classes offered ({', '.join(novelty.unknown_labels)}; N={novelty.unknown_images}): "
            f"AUROC {novelty.auroc:.3f}, by the largest probability {novelty.auroc_of_probability:.3f}; "
            f"{novelty.unknown_refused:.1%} are answered unknown"
        )
    return lines


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"


def as_json(trained: "Trained") -> dict[str, object]:
    """The object that --json prints."""
    return {
        "bundle": trained.bundle.path,
        "labels": trained.bundle.labels,
        "metrics": trained.bundle.metrics,
        "advice": trained.result.advice,
        "skipped": [{"path": str(x.path), "reason": x.reason} for x in trained.result.dataset.rejected],
        "warnings": list(trained.result.dataset.warnings),
    }
